import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  BusError,
  type BatchHandler,
  type Bus,
  type CommandBatch,
  type CommandChannel,
  type CommandMessage,
  type OutputMessage,
  type ReplyMessage,
} from '../../src/application/ports/bus.js';

export interface BusUnderTest {
  /** A bus that is not connected yet. Every call gives another instance on the same topics. */
  create(options?: { requestTimeoutMs?: number; maxBatchCount?: number; shutdownMs?: number }): Bus;
  /** A value of so many bytes can never be sent; undefined: this bus takes any. */
  readonly tooLargeBytes?: number;
  /** Whether commands outlive the instance that took them. */
  readonly isDurable: boolean;
}

/** What every bus promises. The factory makes topics (or the like) of its own for each test. */
export function busContract(name: string, factory: () => BusUnderTest): void {
  describe(`${name} keeps the contract of a bus`, () => {
    let subject: BusUnderTest;
    let open: Bus[];

    beforeEach(() => {
      subject = factory();
      open = [];
    });

    afterEach(async () => {
      await Promise.all(open.map((bus) => bus.stop()));
    });

    async function connected(options?: Parameters<BusUnderTest['create']>[0]): Promise<Bus> {
      const bus = subject.create(options);
      open.push(bus);
      await bus.connect();
      return bus;
    }

    it('answers each request with the reply that was published for it', async () => {
      const bus = await connected();
      await bus.consume(echoing(bus));
      const replies = await Promise.all(
        ['a', 'b', 'c'].map((device) => bus.request('update', device, Buffer.from(`"${device}"`), {})),
      );
      expect(replies.map(({ accepted, value }) => [accepted, value.toString()])).toEqual([
        [true, '"a"'],
        [true, '"b"'],
        [true, '"c"'],
      ]);
    });

    it('hands a command over as it was sent', async () => {
      const bus = await connected();
      const seen = collect(bus, 'delete');
      await bus.consume(seen.handlers);
      const before = Date.now();
      await bus.request('delete', 'lamp', Buffer.from('{"version":1}'), { 'message-id': 'm1' });
      const [command] = seen.messages;
      expect(command?.channel).toBe('delete');
      expect(command?.key?.toString()).toBe('lamp');
      expect(command?.value?.toString()).toBe('{"version":1}');
      expect(command?.headers['message-id']?.toString()).toBe('m1');
      expect(command?.position.topic).toMatch(/\.delete$/);
      expect(command?.position.timestamp).toBeGreaterThanOrEqual(before - 1000);
      expect(command?.position.timestamp).toBeLessThanOrEqual(Date.now() + 1000);
      expect(command?.position.log).not.toBe('');
    });

    it('tells a rejected reply from an accepted one', async () => {
      const bus = await connected();
      await bus.consume(
        handlersFor('update', async ({ messages }) => {
          await bus.publish(messages.map((command) => replyTo(command, '{"code":409}', true)));
        }),
      );
      const reply = await bus.request('update', 'lamp', Buffer.from('{}'), {});
      expect(reply.accepted).toBe(false);
      expect(reply.value.toString()).toBe('{"code":409}');
    });

    it('takes the rejected document from the error header where the reply has no value', async () => {
      const bus = await connected();
      await bus.consume(
        handlersFor('update', async ({ messages }) => {
          await bus.publish(
            messages.map((command) => {
              const reply = replyTo(command, null, true);
              return { ...reply, headers: { ...reply.headers, 'kafka_nest-err': '{"code":400}' } };
            }),
          );
        }),
      );
      const reply = await bus.request('update', 'lamp', Buffer.from('{}'), {});
      expect(reply).toMatchObject({ accepted: false });
      expect(reply.value.toString()).toBe('{"code":400}');
    });

    it('gives a request up when no reply comes in time', async () => {
      const bus = await connected({ requestTimeoutMs: 300 });
      await bus.consume(handlersFor('update', async () => undefined));
      await expect(bus.request('update', 'lamp', Buffer.from('{}'), {})).rejects.toMatchObject({
        name: 'BusError',
        code: 'reply-timeout',
        canRetry: true,
      });
    });

    it('keeps the commands of one key in order, with offsets that grow', async () => {
      const bus = await connected({ maxBatchCount: 7 });
      const seen = collect(bus, 'update');
      await bus.consume(seen.handlers);
      const numbers = Array.from({ length: 60 }, (_, index) => String(index));
      // One after the other: requests that are sent together have no order to keep.
      const replies: Promise<unknown>[] = [];
      for (const number of numbers) {
        replies.push(bus.request('update', `device-${Number(number) % 3}`, Buffer.from(number), {}));
      }
      await Promise.all(replies);
      for (const device of ['device-0', 'device-1', 'device-2']) {
        const own = seen.messages.filter(({ key }) => key?.toString() === device);
        expect(own.map(({ value }) => value?.toString())).toEqual(
          numbers.filter((number) => `device-${Number(number) % 3}` === device),
        );
        const offsets = own.map(({ position }) => position.offset);
        expect(offsets).toEqual([...offsets].sort((a, b) => a - b));
        expect(new Set(offsets).size).toBe(offsets.length);
      }
      expect(Math.max(...seen.sizes)).toBeLessThanOrEqual(7);
    });

    it('delivers a batch again, at the same positions, until its handler succeeds', async () => {
      const bus = await connected();
      const attempts: CommandMessage[][] = [];
      await bus.consume(
        handlersFor('update', async ({ messages }) => {
          attempts.push([...messages]);
          if (attempts.length < 3) throw new Error('the store is away');
          await bus.publish(messages.map((command) => replyTo(command, '{}', false)));
        }),
      );
      await bus.request('update', 'lamp', Buffer.from('{}'), {});
      expect(attempts).toHaveLength(3);
      expect(attempts[1]?.map(({ position }) => position)).toEqual(
        attempts[0]?.map(({ position }) => position),
      );
      expect(attempts[2]?.map(({ position }) => position)).toEqual(
        attempts[0]?.map(({ position }) => position),
      );
    });

    it('says in health() why a batch is held up, and that it is well again', async () => {
      const bus = await connected();
      let isAway = true;
      await bus.consume(
        handlersFor('update', async ({ messages }) => {
          if (isAway) throw new Error('the store is away');
          await bus.publish(messages.map((command) => replyTo(command, '{}', false)));
        }),
      );
      const reply = bus.request('update', 'lamp', Buffer.from('{}'), {});
      await until(() => bus.health()?.includes('the store is away') === true);
      isAway = false;
      await reply;
      await until(() => bus.health() === null);
    });

    it('is not healthy before connect() nor after stop()', async () => {
      const bus = subject.create();
      open.push(bus);
      expect(bus.health()).not.toBeNull();
      await bus.connect();
      expect(bus.health()).toBeNull();
      await bus.stop();
      expect(bus.health()).not.toBeNull();
      await expect(bus.request('update', 'lamp', Buffer.from('{}'), {})).rejects.toMatchObject({
        code: 'closed',
      });
      await expect(bus.publish([output('lamp', '{}')])).rejects.toMatchObject({ code: 'closed' });
    });

    it('lets the batch in hand finish when it stops, then takes no more', async () => {
      const bus = await connected({ maxBatchCount: 1 });
      let started = 0;
      let finished = 0;
      let wasCurrent: boolean | undefined;
      const entered = signal();
      const release = signal();
      await bus.consume(
        handlersFor('update', async (batch) => {
          started++;
          entered.resolve();
          await release.promise;
          wasCurrent = batch.isCurrent();
          await bus.publish(batch.messages.map((command) => replyTo(command, '{}', false)));
          finished++;
        }),
      );
      const reply = bus.request('update', 'lamp', Buffer.from('{}'), {});
      reply.catch(() => undefined);
      await entered.promise;
      const stopping = bus.stop();
      release.resolve();
      await stopping;
      expect([started, finished, wasCurrent]).toEqual([1, 1, true]);
      expect(bus.stop()).toBe(stopping);
    });

    it('tells a long batch that it is its own, and takes its signs of life', async () => {
      const bus = await connected();
      const current: boolean[] = [];
      await bus.consume(
        handlersFor('update', async (batch) => {
          current.push(batch.isCurrent());
          await batch.keepAlive();
          await batch.keepAlive();
          await batch.confirm();
          current.push(batch.isConfirmed());
          await bus.publish(batch.messages.map((command) => replyTo(command, '{}', false)));
        }),
      );
      await bus.request('update', 'lamp', Buffer.from('{}'), {});
      expect(current).toEqual([true, true]);
    });

    it('calls listeners back for outputs of their channel from now on, until they leave', async () => {
      const bus = await connected();
      const publisher = subject.isDurable ? await connected() : bus;
      await publisher.publish([output('early', '{}')]);
      const first: OutputMessage[] = [];
      const second: OutputMessage[] = [];
      const leaveFirst = await bus.listen('update.accepted', (message) => first.push(message));
      const leaveSecond = await bus.listen('update.accepted', (message) => second.push(message));
      await publisher.publish([
        output('lamp', '{"version":1}'),
        { ...output('lamp', '{}'), channel: 'update.delta' },
      ]);
      await until(() => first.length > 0 && second.length > 0);
      expect(first).toHaveLength(1);
      expect(first[0]?.channel).toBe('update.accepted');
      expect(first[0]?.key?.toString()).toBe('lamp');
      expect(first[0]?.value?.toString()).toBe('{"version":1}');
      expect(first[0]?.headers['ce_subject']?.toString()).toBe('lamp');

      await leaveFirst();
      await publisher.publish([output('lamp', '{"version":2}')]);
      await until(() => second.length === 2);
      expect(first).toHaveLength(1);
      await leaveSecond();
      await leaveSecond();
    });

    it('survives a listener that throws', async () => {
      const bus = await connected();
      const seen: OutputMessage[] = [];
      await bus.listen('update.accepted', () => {
        throw new Error('a broken listener');
      });
      await bus.listen('update.accepted', (message) => seen.push(message));
      await bus.publish([output('lamp', '{}')]);
      await until(() => seen.length === 1);
    });

    it('publishes 5 MB in one call, in order for each key, tombstones too', async () => {
      const bus = await connected();
      const seen: OutputMessage[] = [];
      await bus.listen('update.accepted', (message) => seen.push(message));
      const filler = 'x'.repeat(10_000);
      const messages = Array.from({ length: 500 }, (_, index) =>
        output(`device-${index % 5}`, `${index} ${filler}`),
      );
      await bus.publish([...messages, { ...output('device-0', '{}'), value: null }]);
      await until(() => seen.length === 501);
      for (let device = 0; device < 5; device++) {
        const numbers = seen
          .filter(({ key, value }) => key?.toString() === `device-${device}` && value !== null)
          .map(({ value }) => parseInt(String(value), 10));
        expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
        expect(numbers).toHaveLength(100);
      }
      expect(seen.filter(({ value }) => value === null)).toHaveLength(1);
    });

    it('replaces a message that is too large by a dead letter, and sends the others', async () => {
      const { tooLargeBytes } = subject;
      if (tooLargeBytes === undefined) return;
      const bus = await connected();
      const accepted: OutputMessage[] = [];
      const dead: OutputMessage[] = [];
      await bus.listen('update.accepted', (message) => accepted.push(message));
      await bus.listen('dead-letter', (message) => dead.push(message));
      await bus.publish([output('a', '1'), output('b', 'x'.repeat(tooLargeBytes)), output('c', '3')]);
      await until(() => accepted.length === 2 && dead.length === 1);
      expect(accepted.map(({ value }) => value?.toString()).sort()).toEqual(['1', '3']);
      expect(dead[0]?.key?.toString()).toBe('b');
      expect(dead[0]?.headers['reason']?.toString()).toMatch(/too large/i);
      expect(dead[0]?.headers['original-channel']?.toString()).toBe('update.accepted');
    });

    it('delivers to the next instance what the last one did not finish, at the same positions', async () => {
      if (!subject.isDurable) return;
      const first = await connected({ shutdownMs: 200 });
      const failed: CommandMessage[] = [];
      await first.consume(
        handlersFor('update', async ({ messages }) => {
          failed.push(...messages);
          throw new Error('never works');
        }),
      );
      const reply = first.request('update', 'lamp', Buffer.from('{"n":1}'), {});
      reply.catch(() => undefined);
      await until(() => failed.length > 0);
      await first.stop();
      await expect(reply).rejects.toBeInstanceOf(BusError);

      const second = await connected();
      const seen = collect(second, 'update');
      await second.consume(seen.handlers);
      await until(() => seen.messages.length === 1);
      expect(seen.messages[0]?.position).toEqual(failed[0]?.position);
    });
  });
}

export function handlersFor(
  channel: CommandChannel,
  handler: BatchHandler,
): Map<CommandChannel, BatchHandler> {
  return new Map([[channel, handler]]);
}

/** Handlers that answer every command with its own value. */
function echoing(bus: Bus): Map<CommandChannel, BatchHandler> {
  return handlersFor('update', async ({ messages }) => {
    await bus.publish(messages.map((command) => replyTo(command, command.value, false)));
  });
}

export interface Collected {
  readonly messages: CommandMessage[];
  readonly sizes: number[];
  readonly batches: CommandBatch[];
  readonly handlers: Map<CommandChannel, BatchHandler>;
}

/** Handlers that keep what they get, and answer who asked. */
export function collect(bus: Bus, ...channels: CommandChannel[]): Collected {
  const messages: CommandMessage[] = [];
  const sizes: number[] = [];
  const batches: CommandBatch[] = [];
  const handler: BatchHandler = async (batch) => {
    messages.push(...batch.messages);
    sizes.push(batch.messages.length);
    batches.push(batch);
    await bus.publish(
      batch.messages
        .filter(({ headers }) => headers['kafka_replyTopic'] !== undefined)
        .map((command) => replyTo(command, '{}', false)),
    );
  };
  return { messages, sizes, batches, handlers: new Map(channels.map((channel) => [channel, handler])) };
}

export function replyTo(
  command: CommandMessage,
  value: Buffer | string | null,
  isError: boolean,
): ReplyMessage {
  const partition = command.headers['kafka_replyPartition'];
  const correlationId = command.headers['kafka_correlationId'];
  return {
    channel: 'reply',
    topic: String(command.headers['kafka_replyTopic']),
    partition: partition === undefined ? null : Number(String(partition)),
    key: command.key,
    value,
    headers: {
      kafka_correlationId: String(correlationId),
      'kafka_nest-is-disposed': 'true',
      ...(isError ? { 'kafka_nest-err': String(value) } : {}),
    },
  };
}

export function output(key: string, value: string): OutputMessage {
  return {
    channel: 'update.accepted',
    key,
    value,
    headers: { ce_subject: key, 'content-type': 'application/json' },
  };
}

export function signal(): { promise: Promise<void>; resolve(): void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((accept) => {
    resolve = accept;
  });
  return { promise, resolve };
}

/** Waits for a condition; a test that waits in vain ends by its own timeout, with the place in the stack. */
export async function until(condition: () => boolean | Promise<boolean>, timeoutMs = 60_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`Not within ${timeoutMs} ms: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
