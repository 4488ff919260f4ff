import { describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { createRequire } from 'node:module';
import { crc32c } from '../../../src/adapters/bus/kafka/crc32c.js';
import {
  originalRecordBatchEncoder,
  originalRecordEncoder,
  type ProduceArguments,
  produceDefinition,
} from '../../../src/adapters/bus/kafka/kafkajs-internals.js';
import { encodeProduce } from '../../../src/adapters/bus/kafka/produce-encoder.js';
import { encodeRecordBatch } from '../../../src/adapters/bus/kafka/record-batch-encoder.js';
import { encodeRecord } from '../../../src/adapters/bus/kafka/record-encoder.js';

const load = createRequire(import.meta.url);
/** As kafkajs has it, before anything is installed. */
const produceV3 = produceDefinition.protocol({ version: 3 }) as unknown as (options: ProduceArguments) => {
  request: { encode(): Promise<{ buffer: Buffer }> };
};
const slowCrc = load('kafkajs/src/protocol/recordBatch/crc32C') as (bytes: Buffer) => number;

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array)),
  fc.string({ unit: 'binary', maxLength: 200 }).map((text) => text.toWellFormed()),
);
const record = fc.record({
  key: fc.option(bytes),
  value: fc.option(bytes),
  timestampDelta: fc.oneof(fc.nat(100_000), fc.integer({ min: -(2 ** 40), max: 2 ** 40 })),
  headers: fc.dictionary(
    fc.string({ maxLength: 40 }).filter((name) => name !== '__proto__'),
    fc.oneof(bytes, fc.array(bytes, { maxLength: 3 })),
    { maxKeys: 8 },
  ),
});

describe('encoding records for Kafka', () => {
  it('has the checksum of RFC 3720', () => {
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
    expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa);
  });

  it('has the checksums that kafkajs computes, from any start', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(20), (array, start) => {
        const buffer = Buffer.from(array);
        expect(crc32c(buffer, start)).toBe(slowCrc(buffer.subarray(start)));
      }),
    );
  });

  it('gives the bytes that kafkajs gives, for a record', () => {
    fc.assert(
      fc.property(record, fc.nat(100_000), (parts, offsetDelta) => {
        const original = originalRecordEncoder({ ...parts, offsetDelta }).buffer;
        expect(encodeRecord({ ...parts, offsetDelta }).buffer.equals(original)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  it('gives the bytes that kafkajs gives, for a produce request', async () => {
    const time = 1_764_000_000_000;
    const messages = fc.array(
      fc.record({
        key: record.map(({ key }) => key),
        value: bytes,
        headers: record.map(({ headers }) => headers),
      }),
      { minLength: 1, maxLength: 8 },
    );
    const partitions = fc.array(fc.record({ partition: fc.nat(40), messages }), {
      minLength: 1,
      maxLength: 3,
    });
    const topics = fc.array(fc.record({ topic: fc.constantFrom('state.update', 'é', 't'), partitions }), {
      minLength: 1,
      maxLength: 3,
    });
    await fc.assert(
      fc.asyncProperty(topics, fc.boolean(), async (topicData, isTimed) => {
        const timed = topicData.map(({ topic, partitions: all }) => ({
          topic,
          partitions: all.map((each) => ({
            ...each,
            messages: each.messages.map((message, i) =>
              isTimed ? { ...message, timestamp: time + i } : message,
            ),
          })),
        }));
        const options = { acks: -1, timeout: 30_000, topicData: timed };
        const clock = jest.spyOn(Date, 'now').mockReturnValue(time);
        try {
          const { request } = produceV3(options);
          const original = (await request.encode()).buffer;
          expect(encodeProduce(options).buffer.equals(original)).toBe(true);
        } finally {
          clock.mockRestore();
        }
      }),
    );
  });

  it('gives the bytes that kafkajs gives, for a batch', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(record, { minLength: 1, maxLength: 30 }), async (all) => {
        const parts = {
          compression: 0,
          transactional: false,
          firstTimestamp: 1_764_000_000_000,
          maxTimestamp: 1_764_000_000_005,
          lastOffsetDelta: all.length - 1,
          producerId: -1,
          producerEpoch: 0,
          firstSequence: 0,
        };
        const originals = all.map((each, offsetDelta) => originalRecordEncoder({ ...each, offsetDelta }));
        const original = await originalRecordBatchEncoder({ ...parts, records: originals });
        const records = all.map((each, offsetDelta) => encodeRecord({ ...each, offsetDelta }));
        const batch = await encodeRecordBatch({ ...parts, records });
        expect(batch.size()).toBe(original.buffer.length);
        expect(batch.buffer.equals(original.buffer)).toBe(true);
      }),
    );
  });
});
