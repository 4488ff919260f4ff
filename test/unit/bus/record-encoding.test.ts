import { describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { createRequire } from 'node:module';
import { crc32c } from '@node-rs/crc32';
import { installEncoder } from '../../../src/adapters/bus/kafka/encoder.js';
import {
  encoderPrototype,
  type EncodedRequest,
  type ProduceArguments,
  produceDefinition,
} from '../../../src/adapters/bus/kafka/kafkajs-internals.js';
import { encodeProduce } from '../../../src/adapters/bus/kafka/produce-encoder.js';
import { measured } from '../../../src/adapters/bus/kafka/request-sizes.js';

const load = createRequire(import.meta.url);
/** As kafkajs has it, before anything is installed. */
const produceV3 = produceDefinition.protocol({ version: 3 }) as unknown as (options: ProduceArguments) => {
  request: { encode(): Promise<{ buffer: Buffer }> };
};
const createRequest = load('kafkajs/src/protocol/request') as (options: {
  correlationId: number;
  clientId: string;
  request: { apiKey: number; apiVersion: number; encode: () => Promise<EncodedRequest> };
}) => Promise<EncodedRequest>;
const slowCrc = load('kafkajs/src/protocol/recordBatch/crc32C') as (bytes: Buffer) => number;

/** Milliseconds after the record before; far apart, a delta has more than 31 bits. */
const later = fc.oneof(fc.nat(100_000), fc.nat(2 ** 35));
const bytes = fc.oneof(
  fc.string({ minLength: 40, maxLength: 60 }),
  fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array)),
  fc.string({ unit: 'binary', maxLength: 200 }).map((text) => text.toWellFormed()),
);
const record = fc.record({
  key: fc.option(bytes),
  value: fc.option(bytes),
  headers: fc.dictionary(
    fc.string({ maxLength: 40 }).filter((name) => name !== '__proto__'),
    fc.oneof(bytes, fc.array(bytes, { maxLength: 3 })),
    { maxKeys: 8 },
  ),
});

/** The messages with times from `time` on, as producers give them. */
function inOrder<T extends { later: number }>(messages: readonly T[], time: number | null): T[] {
  let now = time ?? 0;
  return messages.map((message) => {
    now += message.later;
    return time === null ? message : { ...message, timestamp: now };
  });
}

describe('encoding records for Kafka', () => {
  it('has the checksum of RFC 3720', () => {
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
    expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa);
  });

  it('has the checksums that kafkajs computes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (array) => {
        expect(crc32c(array)).toBe(slowCrc(Buffer.from(array)));
      }),
    );
  });

  it('is the same for messages that were measured before, also anew', () => {
    fc.assert(
      fc.property(fc.array(record, { maxLength: 5 }), fc.option(bytes), (messages, value) => {
        const request = (all: typeof messages): Buffer => {
          const topicData = [{ topic: 't', partitions: [{ partition: 0, messages: all }] }];
          return encodeProduce({ acks: -1, timeout: 1, topicData }, 0).buf;
        };
        const twice = messages.map((each) =>
          measured({ ...measured({ ...each }), value }),
        ) as typeof messages;
        expect(request(twice).equals(request(messages.map((each) => ({ ...each, value }))))).toBe(true);
      }),
    );
  });

  it('gives the bytes that kafkajs gives, for a produce request', async () => {
    const time = 1_764_000_000_000;
    const messages = fc.array(
      fc.record({
        key: record.map(({ key }) => key),
        value: record.map(({ value }) => value),
        headers: record.map(({ headers }) => headers),
        later,
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
            messages: inOrder(each.messages, isTimed ? time : null),
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
      { numRuns: 500 },
    );
  });

  it('leaves a request where it was encoded, with what kafkajs writes before it', async () => {
    const { writeEncoder, ensureAvailable } = encoderPrototype;
    const topicData = [
      { topic: 't', partitions: [{ partition: 3, messages: [{ value: 'x'.repeat(2000), timestamp: 1 }] }] },
    ];
    // The longest leave no room.
    for (const clientId of ['c', 'ä'.repeat(200), 'c'.repeat(494), 'c'.repeat(600), 'c'.repeat(3000)]) {
      const make = async (): Promise<Buffer> => {
        const encode = async (): Promise<EncodedRequest> =>
          encodeProduce({ acks: -1, timeout: 30_000, topicData });
        const request = { apiKey: 0, apiVersion: 7, encode };
        return (await createRequest({ correlationId: 7, clientId, request })).buffer;
      };
      const original = await make();
      try {
        installEncoder();
        expect((await make()).equals(original)).toBe(true);
      } finally {
        Object.assign(encoderPrototype, { writeEncoder, ensureAvailable });
      }
    }
  });
});
