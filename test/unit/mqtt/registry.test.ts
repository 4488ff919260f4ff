import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Aedes } from 'aedes';
import { type Duplex, duplexPair } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { clientOf, holdOneOfEachId } from '../../../src/adapters/mqtt/registry.js';
import { connectPacket, packetsIn, subscribePacket, TYPES } from '../../support/mqtt-bytes.js';

interface Peer {
  readonly end: Duplex;
  readonly broker: Duplex;
  has: (type: number) => boolean;
}

async function turns(count = 20): Promise<void> {
  for (let n = 0; n < count; n++) await nextTurn();
}

describe('the clients of the MQTT edge', () => {
  let broker: Aedes;
  let arriving: (() => void)[];
  /** Called when somebody connects, who is let in when it resolves. */
  let onArrival: () => Promise<void>;

  beforeEach(async () => {
    arriving = [];
    onArrival = async () => undefined;
    broker = new Aedes({
      authenticate: (_client, _username, _password, done) => void onArrival().then(() => done(null, true)),
    });
    holdOneOfEachId(broker);
    await broker.listen();
  });
  afterEach(() => new Promise<void>((resolve) => broker.close(() => resolve())));

  function connect(clientId: string, options = {}): Peer {
    const [end, side] = duplexPair();
    const chunks: Buffer[] = [];
    for (const one of [end, side]) one.on('error', () => undefined);
    end.on('data', (chunk: Buffer) => chunks.push(chunk));
    broker.handle(side);
    end.write(connectPacket(clientId, options));
    return {
      end,
      broker: side,
      has: (type) => packetsIn(Buffer.concat(chunks)).some((one) => one.type === type),
    };
  }

  async function subscribed(clientId: string, options = {}): Promise<Peer> {
    const peer = connect(clientId, options);
    await turns();
    peer.end.write(subscribePacket(['x', 'y']));
    await turns();
    expect(peer.has(TYPES.suback)).toBe(true);
    return peer;
  }

  it('have the one that came while the one before was ending', async () => {
    const first = await subscribed('a');
    onArrival = async () => void clientOf(broker, 'a')?.close();
    const second = connect('a');
    await turns();
    expect([first.broker.destroyed, second.broker.destroyed]).toEqual([true, false]);
    expect(clientOf(broker, 'a')?.conn).toBe(second.broker);
    onArrival = async () => undefined;
    const third = connect('a');
    await turns();
    expect([second.broker.destroyed, third.broker.destroyed]).toEqual([true, false]);
    expect(clientOf(broker, 'a')?.conn).toBe(third.broker);
  });

  it('have one alone of those that come at once', async () => {
    await subscribed('a');
    onArrival = () => new Promise((resolve) => arriving.push(resolve));
    const others = [connect('a'), connect('a'), connect('a')];
    await turns();
    expect(arriving).toHaveLength(others.length);
    for (const letIn of arriving) letIn();
    await turns();
    const connected = others.filter((one) => !one.broker.destroyed);
    expect(connected.map((one) => one.broker)).toEqual([clientOf(broker, 'a')?.conn]);
  });

  it('keep the one that is there where the one after it goes before it is let in', async () => {
    const first = await subscribed('a', { clean: false });
    const second = connect('a', { clean: false });
    onArrival = async () => void setImmediate(() => second.broker.destroy());
    await turns();
    expect([first.broker.destroyed, second.broker.destroyed]).toEqual([false, true]);
    expect(clientOf(broker, 'a')?.conn).toBe(first.broker);
  });

  it('have none where the last has gone', async () => {
    const only = await subscribed('a');
    only.end.destroy();
    only.broker.destroy();
    await turns();
    expect(clientOf(broker, 'a')).toBeNull();
  });
});
