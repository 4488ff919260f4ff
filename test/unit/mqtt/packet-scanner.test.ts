import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { PacketScanner } from '../../../src/adapters/mqtt/packet-scanner.js';
import { cut, packetOf } from '../support/mqtt-packets.js';

describe('PacketScanner', () => {
  it('finds each packet’s type, length and end, however the stream is cut', () => {
    const packets = fc.array(
      fc.tuple(
        fc.integer({ min: 1, max: 14 }),
        fc.oneof(fc.nat(300), fc.constantFrom(0, 127, 128, 16_383, 16_384)),
      ),
      { minLength: 1, maxLength: 8 },
    );
    fc.assert(
      fc.property(packets, fc.array(fc.nat(80_000), { maxLength: 20 }), (all, places) => {
        const bytes = all.map(([type, length]) => packetOf(type, length));
        const ends = bytes.map((_, index) =>
          bytes.slice(0, index + 1).reduce((sum, one) => sum + one.length, 0),
        );
        const scanner = new PacketScanner();
        const seen: [type: number, length: number][] = [];
        const seenEnds: number[] = [];
        let passed = 0;
        for (const chunk of cut(Buffer.concat(bytes), places)) {
          for (let step = scanner.step(chunk, 0); step !== 'more'; step = scanner.step(chunk, scanner.at)) {
            if (step === 'header') seen.push([scanner.type, scanner.length]);
            else seenEnds.push(passed + scanner.at);
            expect(scanner.isInPacket).toBe(step === 'header');
          }
          expect(scanner.at).toBe(chunk.length);
          passed += chunk.length;
        }
        expect(seen).toEqual(all);
        expect(seenEnds).toEqual(ends);
      }),
    );
  });

  it('knows a length of more than four bytes for none', () => {
    const scanner = new PacketScanner();
    expect(scanner.step(Buffer.from([0x30, 0x80, 0x80, 0x80, 0x80, 0x01]), 0)).toBe('broken');
    const other = new PacketScanner();
    expect(other.step(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f]), 0)).toBe('header');
    expect(other.length).toBe(268_435_455);
  });
});
