import streamMessages from '@eventstore/db-client/generated/streams_pb.js';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { encodeBatch } from '../../../src/adapters/event-store/eventstoredb/batch-encoding.js';
import type { NewEvent, StreamAppend } from '../../../src/application/ports/event-store.js';

const CORRELATION = '11111111-2222-4333-8444-555555555555';
/** Field 7, two bytes: its field 1 is 10 seconds. */
const DURATION = Buffer.from([0x3a, 2, 0x08, 10]);

/** What the client's own classes read in the messages. */
function decode(messages: readonly Buffer[]) {
  return messages.map((bytes) => {
    const message = streamMessages.BatchAppendReq.deserializeBinary(bytes);
    const options = message.getOptions();
    return {
      correlationId: message.getCorrelationId()?.getString(),
      isFinal: message.getIsFinal(),
      options: options && {
        stream: Buffer.from(options.getStreamIdentifier()?.getStreamName_asU8() ?? []).toString(),
        noStream: options.hasNoStream(),
        position: options.hasStreamPosition() ? options.getStreamPosition() : null,
      },
      events: message.getProposedMessagesList().map((event) => ({
        id: event.getId()?.getString(),
        metadataMap: [...event.getMetadataMap().entries()],
        data: Buffer.from(event.getData_asU8()).toString('hex'),
        metadata: Buffer.from(event.getCustomMetadata_asU8()).toString('hex'),
      })),
    };
  });
}

const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const event: fc.Arbitrary<NewEvent> = fc.record({
  id: fc.uuid(),
  type: fc.string({ minLength: 1, maxLength: 200, unit: 'grapheme' }),
  data: bytes,
  metadata: bytes,
});
const append: fc.Arbitrary<StreamAppend> = fc.record({
  stream: fc.string({ minLength: 1, maxLength: 200, unit: 'grapheme' }),
  expectedRevision: fc.oneof(fc.integer({ min: -1, max: 300 }), fc.maxSafeNat()),
  events: fc.array(event, { minLength: 1, maxLength: 4 }),
});

describe('the messages of a batch append', () => {
  it('are what the generated classes read: any append', () => {
    fc.assert(
      fc.property(append, (given) => {
        expect(decode(encodeBatch(CORRELATION, given, 10_000))).toEqual([
          {
            correlationId: CORRELATION,
            isFinal: true,
            options: {
              stream: given.stream,
              noStream: given.expectedRevision === -1,
              position: given.expectedRevision === -1 ? null : String(given.expectedRevision),
            },
            events: given.events.map(({ id, type, data, metadata }) => ({
              id,
              metadataMap: expect.arrayContaining([
                ['type', type],
                ['content-type', 'application/json'],
              ]),
              data: data.toString('hex'),
              metadata: metadata.toString('hex'),
            })),
          },
        ]);
      }),
    );
  });

  it('are several where one would be too large; the options stand in the first, the last one is final', () => {
    const events = Array.from({ length: 5 }, (_, n) => ({
      id: `00000000-0000-4000-8000-00000000000${n}`,
      type: 'T',
      data: Buffer.alloc(400_000, n),
      metadata: Buffer.alloc(0),
    }));
    const decoded = decode(encodeBatch(CORRELATION, { stream: 's', expectedRevision: 7, events }, 10_000));
    expect(decoded.map((message) => message.events.length)).toEqual([2, 2, 1]);
    expect(decoded.map((message) => message.isFinal)).toEqual([false, false, true]);
    expect(decoded.map((message) => message.options !== undefined)).toEqual([true, false, false]);
    expect(decoded.flatMap((message) => message.events.map(({ id }) => id))).toEqual(
      events.map(({ id }) => id),
    );
  });

  it('give the deadline as a duration, so that the clocks need not agree', () => {
    const given = { stream: 's', expectedRevision: -1, events: [] };
    const one = { id: CORRELATION, type: 'T', data: Buffer.from('{}'), metadata: Buffer.from('{}') };
    const [message] = encodeBatch(CORRELATION, { ...given, events: [one] }, 10_000);
    expect(message?.includes(DURATION)).toBe(true);
  });
});
