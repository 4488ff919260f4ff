import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type CommandMessage, type Headers } from '../../../src/application/ports/bus.js';
import { batchOf, CommandLog } from '../../support/command-log.js';
import { documentOf, recorded } from '../../support/outputs.js';
import { ReplicaProcess } from '../../support/replica-process.js';

const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array));
const headerValue: fc.Arbitrary<Headers[string]> = fc.oneof(
  bytes,
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.array(fc.oneof(bytes, fc.string(), fc.constant(null)), { maxLength: 3 }),
  fc.constantFrom(undefined, null),
);
const headers: fc.Arbitrary<Headers> = fc.dictionary(
  fc.oneof(
    fc.constantFrom(
      'message-id',
      'if-match',
      'correlation-id',
      'traceparent',
      'kafka_replyTopic',
      'kafka_replyPartition',
      'kafka_correlationId',
      'toString',
      '__proto__',
    ),
    fc.string(),
  ),
  headerValue,
  { maxKeys: 6 },
);

/** What a parser may stumble over: almost a command, cut, doubled or with foreign bytes in it. */
const nearlyACommand = fc
  .tuple(fc.jsonValue({ maxDepth: 8 }), fc.nat(), fc.nat(), bytes)
  .map(([value, at, length, foreign]) => {
    const whole = Buffer.from(JSON.stringify({ state: { reported: value, desired: { value } } }));
    const from = at % (whole.length + 1);
    return Buffer.concat([whole.subarray(0, from), foreign, whole.subarray(from + (length % 5))]);
  });
const nested = fc
  .tuple(fc.constantFrom('[', '{"a":', '"', '\\', '1e'), fc.integer({ min: 1, max: 20_000 }))
  .map(([part, count]) => Buffer.from(part.repeat(count)));
const value = fc.oneof(
  fc.constant(null),
  bytes,
  nearlyACommand,
  nested,
  fc.jsonValue().map((json) => Buffer.from(JSON.stringify(json))),
  fc.jsonValue().map((json) => Buffer.from(JSON.stringify({ state: { reported: { json } } }))),
);
const key = fc.oneof(fc.constant(null), bytes, fc.constant(Buffer.from('good')));

const poison = fc.record({
  key,
  value,
  headers,
  timestamp: fc.oneof(
    fc.integer(),
    fc.constantFrom(-1, 0, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 9.2e18),
  ),
});

function messagesOf(
  channel: 'update' | 'delete' | 'get',
  parts: readonly Omit<CommandMessage, 'channel' | 'position'>[],
) {
  return parts.map((part, offset): CommandMessage => ({
    ...part,
    channel,
    position: { topic: `state.${channel}`, partition: 0, offset, timestamp: 1, log: 'l' },
  }));
}

describe.each(['update', 'delete', 'get'] as const)('whatever arrives on %s', (channel) => {
  it('ends as an answer or a dead letter, and what follows it is processed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(poison, { minLength: 1, maxLength: 8 }), async (parts) => {
        const service = new ReplicaProcess();
        const messages = messagesOf(channel, parts).map((message, index) => {
          const timestamp = parts[index]?.timestamp ?? 0;
          return { ...message, position: { ...message.position, timestamp } };
        });

        const outputs = (await service.deliver(batchOf(messages))).filter(
          (message) => message.channel !== 'reply',
        );

        const ends = outputs.filter((message) => /(accepted|rejected|dead-letter)$/.test(message.channel));
        expect(ends).toHaveLength(messages.length);
        for (const message of outputs) {
          if (message.channel === 'dead-letter' || message.value === null) continue;
          expect(Number.isInteger(documentOf(message).timestamp)).toBe(true);
        }
        // What was recorded can be read again, and the same batch changes nothing.
        const stored = recorded(service.storage);
        await service.restarted().deliver(batchOf(messages));
        expect(recorded(service.storage)).toEqual(stored);
        const log = new CommandLog('update', 'after', undefined, 1);
        log.send('good', { state: { reported: { still: 'here' } } });
        const [accepted] = await service.deliver(log.batch());
        expect(accepted?.channel).toBe('update.accepted');
      }),
      { numRuns: 150 },
    );
  });
});
