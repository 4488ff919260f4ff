import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { deflateRawSync } from 'node:zlib';
import { decompress, TooMuch } from '../../../src/adapters/bus/kafka/codecs.js';
import { Unfolding } from '../../../src/adapters/bus/kafka/unfolding.js';
import { type Codec, CODECS, compressed } from '../../support/bombs.js';

const MIB = 1024 * 1024;
const names = Object.keys(CODECS) as Codec[];
const text = Buffer.from('state '.repeat(1000));
const built = new URL('../../../dist/adapters/bus/kafka/unfolding-thread.js', import.meta.url);

describe('Codecs', () => {
  it.each(names)('read %s', (name) => {
    expect(decompress(CODECS[name], compressed(name, text), MIB).equals(text)).toBe(true);
  });

  it('read snappy as Java wraps it, in blocks', () => {
    const header = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1]);
    const blocks = [text.subarray(0, 2500), text.subarray(2500)].map((part) => {
      const block = compressed('snappy', part);
      const size = Buffer.alloc(4);
      size.writeInt32BE(block.length);
      return Buffer.concat([size, block]);
    });
    const wrapped = Buffer.concat([header, ...blocks]);
    expect(decompress(CODECS.snappy, wrapped, MIB).equals(text)).toBe(true);
    expect(() => decompress(CODECS.snappy, wrapped, 5000)).toThrow(TooMuch);
  });

  it.each(names)('refuse what is no %s instead of handing on rubbish', (name) => {
    expect(() => decompress(CODECS[name], deflateRawSync(text), MIB)).toThrow();
  });

  it.each(names)('stop at what %s may unfold to, and tell that from broken data', (name) => {
    const bomb = compressed(name, Buffer.alloc(8 * MIB));
    expect(() => decompress(CODECS[name], bomb, 8 * MIB - 1)).toThrow(TooMuch);
    expect(decompress(CODECS[name], bomb, 8 * MIB)).toHaveLength(8 * MIB);
  });

  it.each(names)('end for whatever bytes stand where %s should', (name) => {
    const whole = compressed(name, Buffer.from('{"state":{"reported":{"a":1}}}'.repeat(300)));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        (changes) => {
          const damaged = Buffer.from(whole);
          for (const [at, byte] of changes) damaged[at] = byte;
          try {
            expect(decompress(CODECS[name], damaged, MIB).length).toBeLessThanOrEqual(MIB);
          } catch (error) {
            expect(error).toHaveProperty('message');
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('do not believe the size that a frame of lz4 claims, nor a block that ends beyond it', () => {
    const frame = (size: number, block: Buffer, claimed?: number): Buffer => {
      const head = Buffer.from([0x04, 0x22, 0x4d, 0x18, claimed === undefined ? 0x60 : 0x68, 0x40]);
      const claim = claimed === undefined ? Buffer.alloc(0) : Buffer.alloc(8, Buffer.from([claimed]));
      const blockHead = Buffer.alloc(4);
      blockHead.writeUInt32LE(size);
      return Buffer.concat([head, claim, Buffer.alloc(1), blockHead, block, Buffer.alloc(4)]);
    };
    const endless = frame(0xffffffff, Buffer.from('abc'), 3);
    expect(() => decompress(CODECS.lz4, endless, MIB)).toThrow('ends beyond its frame');
    const honest = frame((0x80000000 | 3) >>> 0, Buffer.from('abc'));
    expect(String(decompress(CODECS.lz4, honest, MIB))).toBe('abc');
    const small = frame((0x80000000 | 3) >>> 0, Buffer.from('abc'), 1);
    expect(String(decompress(CODECS.lz4, small, MIB))).toBe('abc');
  });
});

describe('Unfolding', () => {
  const large = Buffer.concat([Buffer.alloc(2 * MIB), text]);

  it.each(names)('gives what %s holds, small and large, in the order asked for', async (name) => {
    const unfolding = new Unfolding(built);
    const [small, first, second, tooMuch, broken, last] = await Promise.allSettled([
      unfolding.unfold(CODECS[name], compressed(name, text), MIB),
      unfolding.unfold(CODECS[name], compressed(name, large), 7 * MIB),
      unfolding.unfold(CODECS[name], compressed(name, Buffer.alloc(3 * MIB)), 7 * MIB),
      unfolding.unfold(CODECS[name], compressed(name, large), MIB),
      unfolding.unfold(CODECS[name], Buffer.alloc(100_000, 'x'), 7 * MIB),
      unfolding.unfold(CODECS[name], compressed(name, large), 7 * MIB),
    ]);
    for (const [outcome, expected] of [
      [small, text],
      [first, large],
      [second, Buffer.alloc(3 * MIB)],
      [last, large],
    ] as const) {
      expect(outcome.status === 'fulfilled' && outcome.value.equals(expected)).toBe(true);
    }
    expect(tooMuch).toMatchObject({ status: 'rejected', reason: expect.any(TooMuch) as unknown });
    expect(broken.status).toBe('rejected');
  });

  it('keeps the event loop free meanwhile', async () => {
    const unfolding = new Unfolding(built);
    const bomb = compressed('zstd', Buffer.alloc(64 * MIB));
    let turns = 0;
    const turn = setInterval(() => turns++, 1);
    await unfolding.unfold(CODECS.zstd, bomb, 64 * MIB);
    clearInterval(turn);
    // On the event loop there would be none, however fast the machine.
    expect(turns).toBeGreaterThan(3);
  });

  it('does it on the event loop where the system has no thread', async () => {
    const unfolding = new Unfolding(new URL('./no-such-program.js', import.meta.url));
    const bomb = compressed('snappy', large);
    expect((await unfolding.unfold(CODECS.snappy, bomb, 7 * MIB)).equals(large)).toBe(true);
    await expect(unfolding.unfold(CODECS.snappy, bomb, MIB)).rejects.toThrow(TooMuch);
  });

  it('rejects what its thread dies of, and goes on with another', async () => {
    const unfolding = new Unfolding(new URL('../../support/dying-thread.mjs', import.meta.url));
    const [died, next] = await Promise.allSettled([
      unfolding.unfold(CODECS.snappy, Buffer.alloc(20_000, 'die'), 7 * MIB),
      unfolding.unfold(CODECS.snappy, Buffer.alloc(20_000, 'live'), 7 * MIB),
    ]);
    expect(died).toMatchObject({ status: 'rejected', reason: { message: 'out of memory' } });
    expect(next.status === 'fulfilled' && String(next.value)).toBe('unfolded');
  });
});
