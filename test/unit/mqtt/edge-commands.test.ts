import { beforeEach, describe, expect, it } from '@jest/globals';
import { type Client, type PublishPacket } from 'aedes';
import { DevicePace } from '../../../src/adapters/mqtt/device-pace.js';
import { EdgeCommands } from '../../../src/adapters/mqtt/edge-commands.js';
import { Sessions } from '../../../src/adapters/mqtt/sessions.js';
import { Topics } from '../../../src/adapters/mqtt/topics.js';
import { BusError, type Reply } from '../../../src/application/ports/bus.js';
import { deferred, type Deferred } from '../../../src/application/timing.js';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
const REPLY: Reply = { accepted: true, value: Buffer.from('{}') };
const clientOf = (id: string): Client => ({ id, closed: false }) as unknown as Client;

describe('publishes of the MQTT edge', () => {
  let answers: Deferred<Reply>[];
  let told: string[];
  let commands: EdgeCommands;
  const a = clientOf('a');

  beforeEach(() => {
    answers = [];
    told = [];
    const ignore = (): void => undefined;
    commands = new EdgeCommands({
      bus: {
        request: () => {
          const answer = deferred<Reply>();
          answers.push(answer);
          return answer.promise;
        },
      },
      observer: {
        mqttPublished: ignore,
        mqttRefused: ignore,
        mqttEnded: ignore,
        mqttFailed: ignore,
        mqttBrokerReached: ignore,
        mqttBrokerAway: ignore,
        mqttOutputDropped: ignore,
        mqttPresenceRead: ignore,
      },
      dialects: [new Topics('state')],
      access: null,
      presence: { isOwn: () => false },
      sessions: new Sessions(
        () => true,
        10,
        () => undefined,
      ),
      limits: { begin: (_, request) => () => told.push(`end of ${request}`), unreleased: ignore },
      pace: new DevicePace(null, { limited: ignore }, ignore),
    });
  });

  function take(client: Client, name: string, topic: string, qos: 0 | 1 | 2 = 1): void {
    const packet: PublishPacket = { cmd: 'publish', topic, qos, payload: '{}', retain: false, dup: false };
    commands.take(client, packet, (error) => told.push(error ? `${name} failed` : name));
  }

  it('are acknowledged in the order in which they came, and in hand until then', async () => {
    take(a, 'first', 'state/x/update');
    take(a, 'second', 'state/y/update', 2);
    take(a, 'refused', 'elsewhere');
    take(clientOf('b'), 'of another', 'state/y/update');
    take(a, 'unasked', 'state/y/update', 0);
    for (const one of [3, 2, 1]) {
      answers[one]?.resolve(REPLY);
      await turn();
    }
    const end = 'end of publish';
    expect(told).toEqual([end, 'unasked', end, 'of another']);
    answers[0]?.resolve(REPLY);
    await turn();
    expect(told.slice(4)).toEqual([end, 'first', end, 'second', end, 'refused']);
  });

  it('without an answer end their connection behind those that came before', async () => {
    take(a, 'first', 'state/x/update');
    take(a, 'second', 'state/y/update');
    answers[1]?.reject(new BusError('unavailable', 'away'));
    await turn();
    expect(told).toEqual([]);
    answers[0]?.resolve(REPLY);
    await turn();
    expect(told.filter((one) => !one.startsWith('end'))).toEqual(['first', 'second failed']);
  });
});
