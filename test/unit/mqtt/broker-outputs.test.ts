import { beforeEach, describe, expect, it } from '@jest/globals';
import { type MqttClient } from 'mqtt';
import { BrokerOutputs } from '../../../src/adapters/mqtt/broker-outputs.js';
import { CurrentDeltas } from '../../../src/adapters/mqtt/current-deltas.js';
import { OutputQueue } from '../../../src/adapters/mqtt/output-queue.js';
import { type Dialect, ShadowTopics, Topics } from '../../../src/adapters/mqtt/topics.js';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
const NOTHING = '{"state":{},"changed":{},"version":2}';
const OUTSTANDING = '{"state":{"a":1},"version":1}';

interface Sent {
  readonly topic: string;
  readonly payload: string;
  readonly retain: boolean;
  readonly expiry: number | undefined;
  readonly echo: object | undefined;
  readonly acknowledge: (error?: Error) => void;
}

describe('outputs for a broker', () => {
  let sent: Sent[];
  let dropped: string[];
  let broker: {
    connected: boolean;
    options: { protocolVersion: 4 | 5 };
    serverProperties: MqttClient['serverProperties'];
    publish: MqttClient['publish'];
  };
  let current: { version: number; document: string | null } | null;
  let queue: OutputQueue;

  beforeEach(() => {
    sent = [];
    dropped = [];
    current = null;
    broker = {
      connected: true,
      options: { protocolVersion: 5 },
      serverProperties: undefined,
      publish: ((topic: string, payload: string | Buffer, options: object, done: (error?: Error) => void) => {
        const { retain, properties } = options as {
          retain: boolean;
          properties?: { messageExpiryInterval?: number; userProperties?: object };
        };
        const { messageExpiryInterval: expiry, userProperties: echo } = properties ?? {};
        sent.push({ topic, payload: payload.toString(), retain, expiry, echo, acknowledge: done });
      }) as MqttClient['publish'],
    };
    queue = new OutputQueue(broker, {
      mqttOutputDropped: (topic) => dropped.push(topic),
    });
  });

  const outputs = (isAlone: boolean, dialect: Dialect = new Topics('state')): BrokerOutputs =>
    new BrokerOutputs(queue, dialect, new CurrentDeltas({ delta: async () => current }), { isAlone });
  const tell = (
    to: BrokerOutputs,
    value: string,
    channel: 'update.delta' | 'delete.accepted' = 'update.delta',
  ) => to.take([{ channel, key: 'lamp', value, headers: {} }]);
  const facts = (): unknown[] => sent.map(({ payload, retain, expiry }) => [payload, retain, expiry]);

  it('retain a delta while something is outstanding, and take it away once when nothing is', () => {
    const alone = outputs(true);
    tell(alone, NOTHING);
    expect(facts()).toEqual([[NOTHING, false, undefined]]);
    tell(alone, OUTSTANDING);
    tell(alone, NOTHING);
    tell(alone, NOTHING);
    expect(facts().slice(1)).toEqual([
      [OUTSTANDING, true, undefined],
      [NOTHING, false, undefined],
      [NOTHING, true, 1],
      [NOTHING, false, undefined],
    ]);
  });

  it('take away what others may have retained', () => {
    const one = outputs(false);
    tell(one, NOTHING);
    expect(facts()).toEqual([
      [NOTHING, false, undefined],
      [NOTHING, true, 1],
    ]);
  });

  it('take it away by an empty message in 3.1.1', () => {
    broker.options.protocolVersion = 4;
    const alone = outputs(true);
    tell(alone, OUTSTANDING);
    tell(alone, NOTHING);
    expect(facts().at(-1)).toEqual(['', true, undefined]);
  });

  it('take the delta of a deleted device away', () => {
    const alone = outputs(true);
    tell(alone, OUTSTANDING);
    tell(alone, '{"version":1,"timestamp":5}', 'delete.accepted');
    expect(facts().at(-1)).toEqual(['{"state":{},"metadata":{},"version":1,"timestamp":5}', true, 1]);
  });

  it('make right what the broker has found retained, and look again after it', async () => {
    const alone = outputs(true);
    current = { version: 4, document: '{"state":{"a":4},"version":4}' };
    alone.found('lamp', 4);
    await turn();
    expect(sent).toEqual([]);
    alone.found('lamp', 3);
    await turn();
    expect(facts()).toEqual([[current.document, true, undefined]]);
    // Another instance was later.
    current = { version: 5, document: null };
    sent[0]?.acknowledge();
    await turn();
    expect(sent).toHaveLength(2);
    expect(sent[1]).toMatchObject({ retain: true, expiry: 1 });
    expect(JSON.parse(sent[1]?.payload ?? '')).toMatchObject({ state: {}, version: 5 });
  });

  it('are not told again where they were told since the connection stands', async () => {
    const alone = outputs(true);
    alone.begin();
    tell(alone, OUTSTANDING);
    current = { version: 1, document: OUTSTANDING };
    alone.found('lamp', 0);
    alone.missing('lamp');
    await turn();
    expect(facts()).toEqual([[OUTSTANDING, true, undefined]]);
    // What was found may be older than that nothing is outstanding.
    tell(alone, NOTHING);
    current = { version: 2, document: null };
    alone.found('lamp', 1);
    await turn();
    expect(facts().slice(-1)).toEqual([[expect.stringMatching(/^\{"state":\{\}/), true, 1]]);
    alone.looked();
    current = { version: 3, document: OUTSTANDING };
    alone.missing('lamp');
    await turn();
    expect(facts().slice(-1)).toEqual([[OUTSTANDING, true, undefined]]);
  });

  it('in the form of AWS, retain and take away what is outstanding, and tell no more of it', () => {
    const alone = outputs(true, new ShadowTopics());
    tell(alone, '{"state":{},"changed":{"reported":{"a":0}},"metadata":{},"version":1,"timestamp":5000}');
    expect(sent).toEqual([]);
    tell(
      alone,
      '{"state":{"a":1},"changed":{},"metadata":{"a":{"timestamp":5000}},"version":2,"timestamp":5000}',
    );
    tell(alone, '{"state":{},"changed":{"reported":{"a":1}},"metadata":{},"version":3,"timestamp":6000}');
    expect(sent.map(({ topic }) => topic)).toEqual(Array(2).fill('$aws/things/lamp/shadow/update/delta'));
    expect(
      sent.map(({ payload, retain, expiry }) => [JSON.parse(payload) as object, retain, expiry]),
    ).toEqual([
      [{ state: { a: 1 }, metadata: { a: { timestamp: 5 } }, version: 2, timestamp: 5 }, true, undefined],
      [{ state: {}, metadata: {}, version: 3, timestamp: 6 }, true, 1],
    ]);
  });

  it('bear what their command bore, where that can be said', () => {
    const headers = { 'correlation-id': 'c', traceparent: Buffer.from('a\0b'), ce_id: 'x' };
    outputs(true).take([{ channel: 'update.accepted', key: 'lamp', value: '{}', headers }]);
    expect(sent[0]?.echo).toEqual({ 'correlation-id': 'c' });
    // An empty object would make an empty packet.
    tell(outputs(true), NOTHING);
    expect(sent[1]?.echo).toBeUndefined();
  });

  it('wait in order while the broker is away, no more at once than it takes', async () => {
    broker.connected = false;
    const results = ['1', '2', '3'].map((payload) => queue.publish({ topic: 't', payload }));
    expect({ sent, count: queue.count }).toEqual({ sent: [], count: 3 });
    broker.connected = true;
    broker.serverProperties = { receiveMaximum: 2 };
    queue.work();
    expect(sent.map(({ payload }) => payload)).toEqual(['1', '2']);
    sent[0]?.acknowledge();
    expect(sent.map(({ payload }) => payload)).toEqual(['1', '2', '3']);
    sent[1]?.acknowledge(new Error('Not authorized'));
    sent[2]?.acknowledge();
    expect(await Promise.all(results)).toEqual([true, false, true]);
    expect({ dropped, count: queue.count }).toEqual({ dropped: ['t'], count: 0 });
  });

  it('are dropped beyond what may wait, and where the broker takes none of their size', async () => {
    broker.connected = false;
    const payload = Buffer.alloc(1024 * 1024);
    for (let n = 0; n < 63; n++) void queue.publish({ topic: 't', payload });
    expect(await queue.publish({ topic: 'too many', payload })).toBe(false);
    broker.serverProperties = { maximumPacketSize: 1000 };
    broker.connected = true;
    queue.work();
    await turn();
    expect(sent).toEqual([]);
    expect(dropped.filter((topic) => topic === 't')).toHaveLength(63);
    expect(queue.count).toBe(0);
  });
});
