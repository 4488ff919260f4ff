import { beforeEach, describe, expect, it } from '@jest/globals';
import { Sessions } from '../../../src/adapters/mqtt/sessions.js';
import {
  MAX_ALL_KEPT_BYTES,
  MAX_KEPT_BYTES,
  MAX_KEPT_COUNT,
  type Outgoing,
} from '../../../src/adapters/mqtt/unacknowledged.js';
import { MAX_UNRELEASED_COUNT } from '../../../src/adapters/mqtt/unreleased.js';

interface Client {
  readonly id: string;
  readonly clean: boolean;
}

describe('sessions', () => {
  let connected: Set<string>;
  let sessions: Sessions;
  let dropped: string[];

  beforeEach(() => {
    connected = new Set();
    dropped = [];
    sessions = new Sessions(
      (id) => connected.has(id),
      2,
      (id) => dropped.push(id),
    );
  });

  const store = (): Sessions['persistence']['asyncPersistence'] => sessions.persistence.asyncPersistence;

  async function come(id: string, filters: readonly string[], owner = 'o', clean = false): Promise<Client> {
    const client = { id, clean };
    await sessions.begin(client, owner);
    connected.add(id);
    for (const filter of filters) sessions.grant(client, filter);
    await store().addSubscriptions(
      client,
      filters.map((topic) => ({ topic, qos: 1 })),
    );
    return client;
  }

  function leave(client: Client): void {
    connected.delete(client.id);
    sessions.end(client);
  }

  let counter = 0;
  /** As the broker does: it looks who is to get it, and numbers it. */
  async function publish(topic: string, payload = Buffer.alloc(0)): Promise<Outgoing> {
    const packet = { topic, payload, brokerCounter: ++counter };
    const subscribers = await (
      store() as unknown as {
        subscriptionsByTopic(topic: string): Promise<{ clientId: string; topic: string }[]>;
      }
    ).subscriptionsByTopic(topic);
    await store().outgoingEnqueueCombi(subscribers, packet);
    return packet;
  }

  async function waiting(client: Client): Promise<number[]> {
    const counters: number[] = [];
    for await (const { brokerCounter = -1 } of store().outgoingStream(client)) counters.push(brokerCounter);
    return counters;
  }

  it('keep a message once for a client, whatever number of its filters matches', async () => {
    const client = await come('c', ['state/a/#', 'state/+/update', '#']);
    const packet = await publish('state/a/update');
    expect(await waiting(client)).toEqual([packet.brokerCounter]);
    await store().outgoingUpdate(client, { ...packet, messageId: 7 });
    await store().outgoingClearMessageId(client, { messageId: 7 });
    expect(await waiting(client)).toEqual([]);
  });

  it('keep what was sent and not acknowledged, in its order, also under a new number', async () => {
    const client = await come('c', ['#']);
    const first = await publish('a');
    const second = await publish('b');
    await store().outgoingUpdate(client, { ...first, messageId: 1 });
    await store().outgoingUpdate(client, { ...second, messageId: 2 });
    await store().outgoingUpdate(client, { ...first, messageId: 3 });
    await store().outgoingClearMessageId(client, { messageId: 1 });
    expect(await waiting(client)).toEqual([first.brokerCounter, second.brokerCounter]);
    expect(await store().outgoingClearMessageId(client, { messageId: 2 })).toMatchObject(second);
    expect(await waiting(client)).toEqual([first.brokerCounter]);
  });

  it('say of what was sent that it is sent again', async () => {
    const client = await come('c', ['#']);
    const sent = await publish('a');
    const waits = await publish('b');
    await store().outgoingUpdate(client, { ...sent, messageId: 1 });
    const again: object[] = [];
    for await (const one of store().outgoingStream(client)) again.push(one);
    expect(again).toEqual([{ ...sent, messageId: 1, dup: true }, waits]);
  });

  it('keep the release of a message of QoS 2 in its place', async () => {
    const client = await come('c', ['#']);
    const packet = await publish('a');
    await store().outgoingUpdate(client, { ...packet, messageId: 1 });
    await store().outgoingUpdate(client, { messageId: 1, cmd: 'pubrel' });
    const left: object[] = [];
    for await (const one of store().outgoingStream(client)) left.push(one);
    expect(left).toEqual([{ messageId: 1, cmd: 'pubrel' }]);
    await store().outgoingClearMessageId(client, { messageId: 1 });
    expect(await waiting(client)).toEqual([]);
  });

  it('gather nothing for who is away, was refused, or asks for all but reserved topics', async () => {
    const client = await come('c', ['#']);
    await store().addSubscriptions(client, [{ topic: '$aws/#' }, { topic: '#' }]);
    await publish('$aws/things/a/shadow/update/accepted');
    expect(await waiting(client)).toEqual([]);
    leave(client);
    await publish('state/a/update/accepted');
    expect(await waiting(client)).toEqual([]);
  });

  it('drop a filter that was granted once and is refused now', async () => {
    leave(await come('c', ['a', 'b']));
    const again = await come('c', []);
    sessions.refuse(again, 'a');
    await publish('a');
    const packet = await publish('b');
    expect(await waiting(again)).toEqual([packet.brokerCounter]);
  });

  it.each([
    ['another caller', 'other', false],
    ['a clean session', 'o', true],
  ])('end with %s', async (_, owner, clean) => {
    const first = await come('c', ['#']);
    await publish('a');
    leave(first);
    const second = await come('c', [], owner, clean);
    expect(await waiting(second)).toEqual([]);
    await publish('b');
    expect(await waiting(second)).toEqual([]);
  });

  it('take nothing that was on its way to their id before', async () => {
    const first = await come('c', ['#']);
    const packet = await publish('a');
    const second = await come('c', ['#'], 'other');
    await store().outgoingUpdate(first, { ...packet, messageId: 1 });
    expect(await waiting(second)).toEqual([]);
    const own = await publish('b');
    await store().outgoingUpdate(second, { ...own, messageId: 2 });
    await store().outgoingUpdate(first, { ...packet, messageId: 2 });
    expect(await waiting(second)).toEqual([own.brokerCounter]);
  });

  describe('keep of what a client does not acknowledge no more than there may be', () => {
    it('of one, whether it was sent or not, and lose the oldest', async () => {
      const client = await come('c', ['#']);
      const packets: Outgoing[] = [];
      for (let n = 0; n < MAX_KEPT_COUNT + 3; n++) {
        const packet = await publish('a');
        packets.push(packet);
        if (n % 2 === 0) await store().outgoingUpdate(client, { ...packet, messageId: n + 1 });
      }
      expect(await waiting(client)).toEqual(packets.slice(3).map(({ brokerCounter }) => brokerCounter));
      expect(dropped).toEqual(['c', 'c', 'c']);
      // What is not kept may be acknowledged, or be numbered, all the same; and its number is free for another one.
      expect(await store().outgoingClearMessageId(client, { messageId: 1 })).toBeUndefined();
      await store().outgoingUpdate(client, { ...packets[1], messageId: 2 });
      await store().outgoingUpdate(client, { ...packets[4], messageId: 3 });
      expect(await store().outgoingClearMessageId(client, { messageId: 3 })).toMatchObject(packets[4] ?? {});
      expect(await waiting(client)).toHaveLength(MAX_KEPT_COUNT - 1);
      await publish('a');
      expect(dropped).toHaveLength(3);
    });

    it('also of bytes', async () => {
      const client = await come('c', ['#']);
      const payload = Buffer.alloc(MAX_KEPT_BYTES / 4);
      for (let n = 0; n < 10; n++) await publish('a', payload);
      expect(await waiting(client)).toHaveLength(3);
      // One alone may be as large as it likes.
      await publish('a', Buffer.alloc(MAX_KEPT_BYTES));
      expect(await waiting(client)).toHaveLength(1);
    });

    it('and when it has gone with them', async () => {
      const client = await come('c', ['#']);
      for (let n = 0; n < MAX_KEPT_COUNT; n++) await publish('a');
      leave(client);
      for (let n = 0; n < 10; n++) await publish('a');
      expect([(await waiting(client)).length, dropped.length]).toEqual([MAX_KEPT_COUNT, 0]);
    });

    it('of all, of whom those lose that have the most', async () => {
      const few = await come('few', ['few']);
      await publish('few');
      const payload = Buffer.alloc(MAX_KEPT_BYTES / 16);
      const many: Client[] = [];
      for (let n = 0; n < 8; n++) many.push(await come(`many-${n}`, ['many']));
      for (let n = 0; n < 15; n++) await publish('many', payload);
      const counts = await Promise.all(many.map(async (one) => (await waiting(one)).length));
      const kept = counts.reduce((sum, count) => sum + count);
      expect(kept * payload.length).toBeLessThanOrEqual(MAX_ALL_KEPT_BYTES);
      expect(kept * payload.length).toBeGreaterThan(MAX_ALL_KEPT_BYTES / 2);
      expect(kept + dropped.length).toBe(8 * 15);
      expect(await waiting(few)).toHaveLength(1);
      // What ends gives its room back.
      for (const one of many) await sessions.begin(one, 'another');
      const before = dropped.length;
      for (let n = 0; n < 15; n++) await publish('few', payload);
      expect(dropped.length).toBe(before);
    });
  });

  it('know what was taken of QoS 2 until it is released, and how much', async () => {
    const client = await come('c', []);
    const take = (messageId: number): Promise<void> => store().incomingStorePacket(client, { messageId });
    for (let n = 1; n < MAX_UNRELEASED_COUNT; n++) await take(n);
    expect([sessions.hasTaken(client, { messageId: 7 }), sessions.hasRoom(client)]).toEqual([true, true]);
    await take(MAX_UNRELEASED_COUNT);
    expect(sessions.hasRoom(client)).toBe(false);
    // Also for the same session by another connection.
    leave(client);
    const again = await come('c', []);
    expect(sessions.hasRoom(again)).toBe(false);
    await store().incomingDelPacket(again, { messageId: 7 });
    await expect(store().incomingDelPacket(again, { messageId: 7 })).rejects.toThrow('no such packet');
    expect([sessions.hasTaken(again, { messageId: 7 }), sessions.hasRoom(again)]).toEqual([false, true]);
    await sessions.begin(again, 'another');
    expect(sessions.hasTaken(again, { messageId: 8 })).toBe(false);
  });

  it('give the broker no wills to publish, whose own heartbeat is old where the clock was put forward', async () => {
    const persistence = sessions.persistence as unknown as {
      setup(broker: { readonly id: string }): Promise<void>;
      putWill(client: Client, will: object): Promise<void>;
      streamWill(brokers: object): AsyncIterable<unknown>;
    };
    await persistence.setup({ id: 'this' });
    await persistence.putWill({ id: 'c', clean: true }, { topic: 'x', payload: Buffer.from('') });
    for await (const will of persistence.streamWill({})) expect(will).toBeUndefined();
  });

  it('are forgotten beyond their bound, those first whose clients have been away the longest', async () => {
    const [a, b, c] = [await come('a', ['#']), await come('b', ['#']), await come('c', ['#'])];
    leave(b);
    leave(c);
    leave(a);
    for (const [id, isKept] of [
      ['a', true],
      ['b', false],
      ['c', true],
    ] as const) {
      const client = { id, clean: false };
      await sessions.begin(client, 'o');
      connected.add(id);
      await publish('x');
      expect([id, (await waiting(client)).length]).toEqual([id, isKept ? 1 : 0]);
      connected.delete(id);
    }
  });
});
