import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { crc32c } from '@node-rs/crc32';
import { createRequire } from 'node:module';
import { gzipSync } from 'node:zlib';
import { type DecodedRecord } from '../../../src/adapters/bus/kafka/fetched-record.js';
import { decodeFetch } from '../../../src/adapters/bus/kafka/fetch-decoder.js';
import {
  decodeBatches,
  FetchBudget,
  type BatchDoubt,
  UNREADABLE_BATCH,
  UNREADABLE_RECORD,
} from '../../../src/adapters/bus/kafka/record-batch-decoder.js';
import { watchDoubts, type Doubt } from '../../../src/adapters/bus/kafka/record-doubts.js';
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

/** As the producer would have sent it. */
function withChecksum(batch: Buffer): Buffer {
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17);
  return batch;
}

const one = [{ key: Buffer.from('lamp'), value: Buffer.from('{}'), headers: {}, timestampDelta: 0 }];

describe('The decoder of record batches', () => {
  it('reads what kafkajs reads', async () => {
    await fc.assert(
      fc.asyncProperty(records, fc.nat(2 ** 40), async (all, base) => {
        const batch = await encoded(all, base);
        const { records: expected } = await decodeAsKafkajs(new Decoder(batch));
        const decoded = await decodeBatches(batch);
        // Its members may be made when they are asked for; kafkajs knows the batch's context elsewhere.
        const members = Object.keys(expected[0] ?? {}).filter((name) => name !== 'batchContext');
        const shown = decoded.map((each) =>
          Object.fromEntries(members.map((name) => [name, each[name as keyof DecodedRecord]])),
        );
        expect(shown).toEqual(expected.map((each) => ({ ...each, batchContext: undefined })));
        expect(decoded.map(({ time }) => String(time))).toEqual(decoded.map(({ timestamp }) => timestamp));
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
    withChecksum(batch);
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
      const [record] = await decodeBatches(withChecksum(batch));
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
    withChecksum(batch);
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
    const [record] = await decodeBatches(withChecksum(batch));
    expect(record?.value?.toString()).toBe('{}');
  });
});

describe('Records that were changed on their way', () => {
  const value = (text: string): (typeof one)[number] => ({
    key: Buffer.from('lamp'),
    value: Buffer.from(text),
    headers: { 'message-id': Buffer.from('m') },
    timestampDelta: 1,
  });

  it('are never taken for what was sent, whichever bit is another one', async () => {
    const sent = Buffer.concat([
      await encoded([value('a'), value('b')], 100),
      await encoded([value('c')], 102),
    ]);
    const right = await decodeBatches(sent);
    expect(right.map(({ value: text }) => String(text))).toEqual(['a', 'b', 'c']);
    for (let bit = 0; bit < 8 * sent.length; bit++) {
      const came = Buffer.from(sent);
      const at = bit >> 3;
      came[at] = (came[at] ?? 0) ^ (1 << (bit & 7));
      const doubts: BatchDoubt[] = [];
      const taken = await decodeBatches(came, 100, undefined, (doubt) => {
        doubts.push(doubt);
        return false;
      });
      // What is left out is asked for again.
      expect(taken).toEqual(right.slice(0, taken.length));
      if (doubts.length > 0) expect(taken.length).toBeLessThan(3);
    }
  });

  it('become one record where they stand so in the log, and the next ones follow', async () => {
    const damaged = await encoded([value('a'), value('b'), value('c')], 7);
    const at = damaged.indexOf('a') + 1;
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    // Nothing in it can be relied on, not even how many they are.
    damaged.writeInt32BE(1_000_000, 23);
    const [record, ...rest] = await decodeBatches(Buffer.concat([damaged, await encoded(one, 10)]));
    expect(record).toMatchObject({ key: null, value: damaged, offset: '9' });
    expect(String(record?.headers[UNREADABLE_BATCH])).toBe('the records fail their checksum');
    expect(rest.map(({ offset }) => offset)).toEqual(['10']);
    expect((await decodeBatches(damaged)).map(({ offset }) => offset)).toEqual(['9']);
  });
});

describe('An answer to a fetch', () => {
  const asked = (fetchOffset: number) => ({
    topics: [{ topic: 'state.update', partitions: [{ partition: 3, fetchOffset: String(fetchOffset) }] }],
  });

  function answer(records: Buffer, partition = 3, topic = 'state.update'): Buffer {
    const name = Buffer.from(topic);
    const bytes = Buffer.alloc(14 + 2 + name.length + 4 + 4 + 2 + 24 + 4 + 4 + 4);
    bytes.writeInt32BE(1, 10);
    let at = bytes.writeInt16BE(name.length, 14);
    at += name.copy(bytes, at);
    at = bytes.writeInt32BE(1, at);
    at = bytes.writeInt32BE(partition, at);
    at = bytes.writeInt16BE(0, at) + 24;
    at = bytes.writeInt32BE(-1, bytes.writeInt32BE(-1, at));
    bytes.writeInt32BE(records.length, at);
    return Buffer.concat([bytes, records]);
  }

  async function offsetsOf(raw: Buffer, from: number): Promise<string[]> {
    const { responses } = (await decodeFetch(raw, asked(from))) as {
      responses: { partitions: { messages: { offset: string }[] }[] }[];
    };
    return responses.flatMap(({ partitions }) =>
      partitions.flatMap(({ messages }) => messages.map(({ offset }) => offset)),
    );
  }

  async function doubtsOf(work: () => Promise<void>): Promise<Doubt[]> {
    const doubts: Doubt[] = [];
    const unwatch = watchDoubts((doubt) => doubts.push(doubt));
    await work();
    unwatch();
    return doubts;
  }

  it('is taken at once where it begins at the offset that was asked for', async () => {
    const records = Buffer.concat([await encoded(one, 5), await encoded(one, 6)]);
    const doubts = await doubtsOf(async () => {
      expect(await offsetsOf(answer(records), 5)).toEqual(['5', '6']);
    });
    expect(doubts).toEqual([]);
  });

  it.each([
    ['amid the records of a batch', 'overlap', async () => encoded([...one, ...one], 4)],
    ['before what is missing in the log', 'gap', async () => encoded([...one, ...one], 8)],
  ] as const)('is asked for once more where it begins %s', async (_, kind, records) => {
    const raw = answer(await records());
    const offset = kind === 'gap' ? 8 : 4;
    const taken = kind === 'gap' ? ['8', '9'] : ['5'];
    const doubts = await doubtsOf(async () => {
      expect(await offsetsOf(raw, 5)).toEqual([]);
      expect(await offsetsOf(raw, 5)).toEqual(taken);
    });
    expect(doubts).toMatchObject([
      { kind, offset, topic: 'state.update', partition: 3, isConfirmed: false },
      { kind, isConfirmed: true },
    ]);
  });

  it('is asked for until it comes intact, or twice the same', async () => {
    const intact = await encoded([...one, ...one], 5);
    const flipped = (bit: number): Buffer => {
      const bytes = Buffer.from(intact);
      bytes[70] = (bytes[70] ?? 0) ^ (1 << bit);
      return answer(Buffer.concat([bytes]));
    };
    for (const bit of [0, 1, 2]) expect(await offsetsOf(flipped(bit), 5)).toEqual([]);
    expect(await offsetsOf(answer(intact), 5)).toEqual(['5', '6']);
    // What was intact in between makes it a new doubt.
    expect(await offsetsOf(flipped(2), 5)).toEqual([]);
    expect(await offsetsOf(flipped(2), 5)).toEqual(['6']);
  });

  it('is gone on from where nothing but empty batches lies between two gaps, as a compacted log may have it', async () => {
    const empty = (await encoded(one, 8)).subarray(0, 61);
    empty.writeInt32BE(empty.length - 12, 8);
    empty.writeInt32BE(0, 57);
    const raw = answer(Buffer.concat([withChecksum(empty), await encoded(one, 11)]));
    expect(await offsetsOf(raw, 5)).toEqual([]);
    expect(await offsetsOf(raw, 5)).toEqual([]);
    expect(await offsetsOf(raw, 5)).toEqual(['11']);
  });

  it('says nothing of a partition that was not asked for, nor of another topic', async () => {
    const records = await encoded(one, 5);
    expect(await offsetsOf(answer(records, 4), 5)).toEqual([]);
    expect(await offsetsOf(answer(records, 3, 'state.updatE'), 5)).toEqual([]);
  });

  it('is not read as one of an old broker for a flipped bit of its format', async () => {
    const records = await encoded(one, 5);
    records[16] = 0;
    expect(await offsetsOf(answer(records), 5)).toEqual([]);
    expect(await decodeFetch(answer(records), asked(5))).toBeNull();
  });
});
