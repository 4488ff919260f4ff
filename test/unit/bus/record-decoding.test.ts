import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createRequire } from 'node:module';
import { gzipSync } from 'node:zlib';
import { decodeBatches, UNREADABLE_BATCH } from '../../../src/adapters/bus/kafka/record-batch-decoder.js';

const load = createRequire(import.meta.url);
type Parts = { key: Buffer | null; value: Buffer | null; headers: Record<string, Buffer | Buffer[]> };
const encodeRecord = load('kafkajs/src/protocol/recordBatch/record/v0') as (
  parts: Parts & { offsetDelta: number; timestampDelta: number },
) => object;
const { RecordBatch: encodeBatch } = load('kafkajs/src/protocol/recordBatch/v0') as {
  RecordBatch: (parts: object) => Promise<{ buffer: Buffer }>;
};
const Decoder = load('kafkajs/src/protocol/decoder') as new (buffer: Buffer) => object;
const decodeAsKafkajs = load('kafkajs/src/protocol/recordBatch/v0/decoder') as (
  decoder: object,
) => Promise<{ records: object[] }>;

const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
const header = fc.oneof(bytes, fc.array(bytes, { minLength: 2, maxLength: 3 }));
const records = fc.array(
  fc.record({
    key: fc.option(bytes),
    value: fc.option(bytes),
    headers: fc.dictionary(
      fc.string({ maxLength: 8 }).filter((name) => !(name in {})),
      header,
      { maxKeys: 3 },
    ),
    timestampDelta: fc.integer({ min: -1_000_000, max: 1_000_000_000 }),
  }),
  { minLength: 1, maxLength: 10 },
);

async function encoded(all: readonly (Parts & { timestampDelta: number })[], base = 0): Promise<Buffer> {
  const encodedRecords = all.map((parts, offsetDelta) => encodeRecord({ ...parts, offsetDelta }));
  const batch = await encodeBatch({
    records: encodedRecords,
    firstTimestamp: 1_700_000_000_000,
    maxTimestamp: 1_700_000_000_000,
    lastOffsetDelta: all.length - 1,
  });
  batch.buffer.writeBigInt64BE(BigInt(base), 0);
  return batch.buffer;
}

const one = [{ key: Buffer.from('lamp'), value: Buffer.from('{}'), headers: {}, timestampDelta: 0 }];

describe('The decoder of record batches', () => {
  it('reads what kafkajs reads', async () => {
    await fc.assert(
      fc.asyncProperty(records, fc.nat(2 ** 40), async (all, base) => {
        const batch = await encoded(all, base);
        const { records: expected } = await decodeAsKafkajs(new Decoder(batch));
        const without = (each: object): object => ({ ...each, batchContext: undefined });
        expect((await decodeBatches(batch)).map(without)).toEqual(expected.map(without));
      }),
    );
  });

  it('reads consecutive batches, and leaves the cut-off last one for the next fetch', async () => {
    const batch = await encoded(one, 7);
    const next = await encoded(one, 8);
    const both = Buffer.concat([batch, next]);
    expect((await decodeBatches(both)).map(({ offset }) => offset)).toEqual(['7', '8']);
    for (let length = batch.length; length < both.length; length += 5) {
      expect((await decodeBatches(both.subarray(0, length))).map(({ offset }) => offset)).toEqual(['7']);
    }
  });

  it('makes one record without a key of a batch in a codec that nobody knows, at its last offset', async () => {
    const batch = await encoded([...one, ...one, ...one], 100);
    batch.writeInt16BE(7, 21);
    const [record, ...rest] = await decodeBatches(Buffer.concat([batch, await encoded(one, 103)]));
    expect(record).toMatchObject({ key: null, offset: '102', isControlRecord: false });
    expect(record?.value?.equals(batch)).toBe(true);
    expect(String(record?.headers[UNREADABLE_BATCH])).toBe('Unknown compression codec 7');
    expect(rest.map(({ offset }) => offset)).toEqual(['103']);
  });

  it('never throws, whatever the bytes', async () => {
    const batch = await encoded([...one, ...one]);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(batch.length - 1), fc.nat(255)), { minLength: 1, maxLength: 5 }),
        async (changes) => {
          const damaged = Buffer.from(batch);
          for (const [at, value] of changes) damaged[at] = value;
          await decodeBatches(damaged);
        },
      ),
    );
  });

  it('reads a hundred thousand headers of one record in reasonable time', async () => {
    const headers = Object.fromEntries(
      Array.from({ length: 100_000 }, (_, index) => [`h${index}`, Buffer.alloc(0)]),
    );
    const batch = await encoded([{ key: null, value: null, headers, timestampDelta: 0 }]);
    const [record] = await decodeBatches(batch);
    expect(Object.keys(record?.headers ?? {})).toHaveLength(100_000);
  });

  it('takes header names that objects have for what they are', async () => {
    const headers = { toString: [Buffer.from('a'), Buffer.from('b')], constructor: Buffer.from('c') };
    const batch = await encoded([{ key: null, value: null, headers, timestampDelta: 0 }]);
    const [record] = await decodeBatches(batch);
    expect(Object.entries(record?.headers ?? {}).map(([name, value]) => [name, String(value)])).toEqual([
      ['toString', 'a,b'],
      ['constructor', 'c'],
    ]);
  });

  it('keeps a header without a value apart from an empty one', async () => {
    const headers = { none: Buffer.alloc(0), empty: Buffer.alloc(0) };
    const batch = await encoded([{ key: null, value: null, headers, timestampDelta: 0 }]);
    // kafkajs cannot send such a header: the length of the first value, 0, becomes -1.
    batch[batch.indexOf('none') + 4] = 1;
    const [record] = await decodeBatches(batch);
    expect(record?.headers['none']).toBeNull();
    expect(record?.headers['empty']).toEqual(Buffer.alloc(0));
  });

  it('reads compressed records', async () => {
    const plain = await encoded(one, 3);
    const body = gzipSync(plain.subarray(61));
    const batch = Buffer.concat([plain.subarray(0, 61), body]);
    batch.writeInt32BE(batch.length - 12, 8);
    batch.writeInt16BE(1, 21);
    const [record] = await decodeBatches(batch);
    expect(record?.value?.toString()).toBe('{}');
  });
});
