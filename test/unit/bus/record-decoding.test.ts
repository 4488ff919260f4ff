import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createRequire } from 'node:module';
import { gzipSync } from 'node:zlib';
import {
  decodeBatches,
  FetchBudget,
  UNREADABLE_BATCH,
  UNREADABLE_RECORD,
} from '../../../src/adapters/bus/kafka/record-batch-decoder.js';
import { batchOf, leastRecords, recordOf } from '../../support/bombs.js';

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

  it('reads thousands of headers, and takes a record with more for one that cannot be read', async () => {
    const [many, tooMany, after] = await decodeBatches(
      Buffer.concat([
        batchOf(null, recordOf({ headerCount: 10_000 }), 1, 0),
        batchOf('gzip', recordOf({ headerCount: 5_000_000, valueBytes: 3 }), 1, 1),
        await encoded(one, 2),
      ]),
    );
    expect(many?.headers['h']).toHaveLength(10_000);
    expect(tooMany).toMatchObject({ key: null, value: Buffer.alloc(3), offset: '1' });
    expect(String(tooMany?.headers[UNREADABLE_RECORD])).toBe('More than 10000 headers');
    expect(after?.offset).toBe('2');
  });

  it('leaves out a header whose name is longer than that of any that is asked for', async () => {
    const headers = { ['n'.repeat(257)]: Buffer.from('a'), ['n'.repeat(256)]: Buffer.from('b') };
    const batch = await encoded([{ key: null, value: null, headers, timestampDelta: 0 }]);
    const [record] = await decodeBatches(batch);
    expect(Object.keys(record?.headers ?? {})).toEqual(['n'.repeat(256)]);
  });

  it('reads a batch of millions of records in pieces, each once', async () => {
    const count = 50_000;
    // Offsets that grow: of two bytes and more, so made by kafkajs.
    const all = Array.from({ length: count }, () => ({
      key: null,
      value: null,
      headers: {},
      timestampDelta: 0,
    }));
    const plain = await encoded(all, 1000);
    const offsets: number[] = [];
    let answers = 0;
    for (let from = 1000; from < 1000 + count; answers++) {
      const records = await decodeBatches(plain, from);
      expect(records.length).toBeGreaterThan(0);
      expect(records.length).toBeLessThanOrEqual(20_000);
      offsets.push(...records.map(({ offset }) => Number(offset)));
      from = (offsets.at(-1) ?? 0) + 1;
    }
    expect(answers).toBe(3);
    expect(offsets).toEqual(all.map((_, index) => 1000 + index));
  });

  it('holds no more than its budget, whatever the batches of an answer unfold to', async () => {
    const large = batchOf('gzip', recordOf({ valueBytes: 40 * 1024 * 1024 }), 1);
    const huge = batchOf('gzip', recordOf({ valueBytes: 70 * 1024 * 1024 }), 1);
    const budget = new FetchBudget();
    const read = async (...batches: Buffer[]): Promise<string[]> => {
      const records = await decodeBatches(Buffer.concat(batches), 0, budget);
      return records.map(({ value, headers }) => String(headers[UNREADABLE_BATCH] ?? value?.length));
    };
    // The second one comes with the next answer, and so does what would be too much at any time.
    expect(await read(large, large, large)).toEqual([String(40 * 1024 * 1024)]);
    expect(await read(huge, await encoded(one))).toEqual([]);
    expect((await decodeBatches(huge))[0]?.headers).toHaveProperty(UNREADABLE_BATCH);
    expect(budget.isSpent).toBe(false);
    expect(await read(await encoded(one))).toEqual(['2']);
  });

  it('does not make millions of records of a few kilobytes', async () => {
    const bomb = batchOf('gzip', leastRecords(5_000_000), 5_000_000);
    expect(bomb.length).toBeLessThan(200_000);
    const before = process.memoryUsage().heapUsed;
    expect((await decodeBatches(bomb)).length).toBeLessThanOrEqual(20_000);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 * 1024 * 1024);
  });

  it('does not believe a record that says it is shorter or longer than it is', async () => {
    for (const length of [0, 2, 10, 126]) {
      const batch = await encoded(one, 5);
      batch[61] = length;
      const [record] = await decodeBatches(batch);
      expect(record?.headers).toHaveProperty(UNREADABLE_BATCH);
    }
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
