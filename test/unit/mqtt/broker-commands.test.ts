import { beforeEach, describe, expect, it } from '@jest/globals';
import { type IPublishPacket } from 'mqtt';
import { BrokerCommands, MAX_IN_FLIGHT_COUNT } from '../../../src/adapters/mqtt/broker-commands.js';
import { ShadowTopics, Topics } from '../../../src/adapters/mqtt/topics.js';
import { BusError, type Reply } from '../../../src/application/ports/bus.js';
import { deferred, type Deferred } from '../../../src/application/timing.js';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
const REPLY: Reply = { accepted: true, value: Buffer.from('{}') };

describe('commands from a broker', () => {
  let asked: {
    text: string;
    id: string | undefined;
    headers: object;
    answer: Deferred<Reply>;
  }[];
  let acks: number[];
  let breaks: number;
  let signs: number;
  let responses: (string | undefined)[][];
  let commands: BrokerCommands;
  const link = {
    write: (bytes: Buffer): boolean => {
      for (let at = 0; at < bytes.length; at += 4) acks.push(bytes.readUInt16BE(at + 2));
      return true;
    },
    break: () => breaks++,
    keepAlive: () => signs++,
  };

  beforeEach(() => {
    asked = [];
    acks = [];
    breaks = 0;
    signs = 0;
    responses = [];
    const ignore = (): void => undefined;
    commands = new BrokerCommands({
      bus: {
        request: (channel, key, value, headers) => {
          const answer = deferred<Reply>();
          const text = `${channel} ${key} ${value.toString()}`;
          asked.push({ text, id: headers['message-id'], headers, answer });
          return answer.promise;
        },
      },
      dialects: [new Topics('state'), new ShadowTopics()],
      observer: {
        mqttPublished: ignore,
        mqttRefused: ignore,
        mqttEnded: ignore,
        mqttFailed: ignore,
        mqttBrokerReached: ignore,
        mqttBrokerAway: ignore,
        mqttPresenceRead: ignore,
        mqttOutputDropped: ignore,
      },
      respond: (topic, correlation, document) =>
        responses.push([topic, correlation?.toString(), document.toString()]),
      hasMessageIds: true,
    });
    commands.begin(link, false);
  });

  let reads = 0;
  const take = (
    messageId: number,
    deviceId: string,
    text: string,
    more: Partial<IPublishPacket> = {},
  ): void =>
    commands.take(
      {
        cmd: 'publish',
        topic: `state/${deviceId}/update`,
        payload: text,
        qos: 1,
        dup: false,
        retain: false,
        messageId,
        ...more,
      },
      () => reads++,
    );
  const answer = async (n: number, reply = REPLY): Promise<void> => {
    asked[n]?.answer.resolve(reply);
    await turn();
  };
  const fail = async (n: number): Promise<void> => {
    asked[n]?.answer.reject(new BusError('unavailable', 'away'));
    await turn();
  };
  const texts = (): string[] => asked.map(({ text }) => text);

  it('go in together for different devices, and one after the other for one', async () => {
    take(1, 'a', '1');
    take(2, 'a', '2');
    take(3, 'b', '3');
    await turn();
    expect(texts()).toEqual(['update a 1', 'update b 3']);
    await answer(0);
    expect(texts()).toEqual(['update a 1', 'update b 3', 'update a 2']);
  });

  it('are acknowledged when they have their answer, in the order in which they came', async () => {
    take(1, 'a', '1');
    take(2, 'b', '2');
    await answer(1);
    expect(acks).toEqual([]);
    await answer(0);
    expect(acks).toEqual([1, 2]);
  });

  it('are not acknowledged without an answer: the connection breaks, and nothing of the device overtakes', async () => {
    take(1, 'a', '1');
    take(2, 'a', '2');
    take(3, 'b', '3');
    await fail(0);
    expect({ breaks, acks }).toEqual({ breaks: 1, acks: [] });
    expect(texts()).toEqual(['update a 1', 'update b 3']);
    await answer(1);
    commands.end();

    commands.begin(link, true);
    take(1, 'a', '1', { dup: true });
    take(2, 'a', '2', { dup: true });
    take(3, 'b', '3', { dup: true });
    await turn();
    // What had its answer meanwhile is not done again.
    expect(texts().slice(2)).toEqual(['update a 1']);
    // The same command, for whoever remembers it.
    expect(asked[2]?.id).toBe(asked[0]?.id);
    await answer(2);
    await answer(3);
    expect(texts().slice(2)).toEqual(['update a 1', 'update a 2']);
    expect(acks).toEqual([1, 2, 3]);
  });

  it('that come again while they are on their way are not done twice', async () => {
    commands.begin({ ...link, write: () => false }, true);
    take(1, 'a', '1');
    commands.end();
    commands.begin(link, true);
    take(1, 'a', '1', { dup: true });
    await answer(0);
    expect(texts()).toEqual(['update a 1']);
    expect(acks).toEqual([1]);
  });

  it('of a session that the broker has lost are others, whatever their packet ids', async () => {
    take(1, 'a', '1');
    await fail(0);
    commands.end();
    commands.begin(link, false);
    take(1, 'a', '1', { dup: true });
    await turn();
    expect(texts()).toHaveLength(2);
    expect(asked[1]?.id).not.toBe(asked[0]?.id);
  });

  it('are none where they are retained or of another topic; these are acknowledged', async () => {
    take(1, 'a', '1', { retain: true });
    take(2, 'a', '2', { topic: 'state/a/other' });
    await turn();
    expect({ asked, acks }).toEqual({ asked: [], acks: [1, 2] });
  });

  it('have their answer sent to where they ask for it', async () => {
    take(1, 'a', '1', { properties: { responseTopic: 'there', correlationData: Buffer.from('x') } });
    await answer(0);
    expect(responses).toEqual([['there', 'x', '{}']]);
  });

  it('of AWS have their answer in its form', async () => {
    const asks = { topic: '$aws/things/a/shadow/update', properties: { responseTopic: 'there' } };
    take(1, 'a', '1', asks);
    take(2, 'a', '2', asks);
    await answer(0, { accepted: true, value: Buffer.from('{"version":1,"timestamp":1795521815075}') });
    await answer(1, { accepted: false, value: Buffer.from('{"code":404,"message":"x","timestamp":5000}') });
    expect(texts()).toEqual(['update a 1', 'update a 2']);
    expect(responses.map(([, , document]) => document)).toEqual([
      '{"version":1,"timestamp":1795521815}',
      `{"code":404,"message":"No shadow exists with name: 'a'","timestamp":5}`,
    ]);
  });

  it('have the headers that MQTT 5 gives them, and the id that they bear', async () => {
    const userProperties = {
      'message-id': ['mine', 'other'],
      'if-match': '3',
      'correlation-id': 'c',
      traceparent: 't',
      kafka_replyTopic: 'state.update',
    };
    take(1, 'a', '1', { properties: { userProperties } });
    expect(asked[0]?.headers).toEqual({
      'message-id': 'mine',
      'if-match': '3',
      'correlation-id': 'c',
      traceparent: 't',
    });
    await answer(0);
  });

  it('are read no further where there are more than the broker was told to send', async () => {
    reads = 0;
    for (let n = 1; n <= MAX_IN_FLIGHT_COUNT; n++) take(n, `d${n}`, 'x');
    // What it acknowledges comes behind these.
    expect({ reads, signs }).toEqual({ reads: MAX_IN_FLIGHT_COUNT, signs: 0 });
    take(0, 'other', 'x', { qos: 0 });
    expect(reads).toBe(MAX_IN_FLIGHT_COUNT);
    await answer(0);
    expect({ reads, signs }).toEqual({ reads: MAX_IN_FLIGHT_COUNT + 1, signs: 1 });
  });
});
