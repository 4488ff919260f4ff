import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { PacketBound } from '../../../src/adapters/mqtt/packet-bound.js';

/** A packet of so many bytes behind its fixed header. */
function packetOf(length: number): Buffer {
  const header = [0x30];
  let left = length;
  do {
    const digit = left % 128;
    left = Math.floor(left / 128);
    header.push(left > 0 ? digit | 0x80 : digit);
  } while (left > 0);
  // What is in it must not be taken for a header.
  return Buffer.concat([Buffer.from(header), Buffer.alloc(length, 0xff)]);
}

function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...places.map((place) => place % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  return ends.map((end, index) => bytes.subarray(index === 0 ? 0 : ends[index - 1], end));
}

describe('PacketBound', () => {
  it('passes packets up to the bound and no larger one, however they are cut', () => {
    const lengths = fc.array(fc.oneof(fc.nat(300), fc.constantFrom(127, 128, 999, 1000, 16_384)), {
      minLength: 1,
      maxLength: 8,
    });
    fc.assert(
      fc.property(lengths, fc.array(fc.nat(40_000), { maxLength: 20 }), (all, places) => {
        const bound = new PacketBound(1000);
        const passes = cut(Buffer.concat(all.map(packetOf)), places).every((chunk) => bound.takes(chunk));
        expect(passes).toBe(all.every((length) => length <= 1000));
      }),
    );
  });

  it('refuses a large packet by its header alone', () => {
    expect(new PacketBound(1000).takes(packetOf(1001).subarray(0, 3))).toBe(false);
  });

  it('refuses a length of more than four bytes', () => {
    expect(new PacketBound(2 ** 40).takes(Buffer.from([0x30, 0x80, 0x80, 0x80, 0x80, 0x01]))).toBe(false);
    expect(new PacketBound(2 ** 40).takes(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f]))).toBe(true);
  });
});
