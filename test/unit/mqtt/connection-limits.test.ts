import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { type Client } from 'aedes';
import { Socket } from 'node:net';
import { ConnectionLimits } from '../../../src/adapters/mqtt/connection-limits.js';
import { InFlight } from '../../../src/application/access/in-flight.js';
import { type Caller } from '../../../src/application/access/rules.js';

const MIB = 1024 * 1024;

describe('connections of the MQTT edge', () => {
  let told: string[];
  let limits: ConnectionLimits;

  beforeEach(() => {
    jest.useFakeTimers();
    told = [];
    limits = new ConnectionLimits({
      maxRequestBytes: 1000,
      maxConnectionCount: 10,
      maxAddressCount: 0,
      maxCallerCount: 2,
      arrivalMs: 600_000,
      callerRates: null,
      inFlight: new InFlight(MIB),
      observer: { limited: (_, limit) => told.push(limit) },
    });
    limits.start();
  });
  afterEach(() => {
    limits.stop();
    jest.useRealTimers();
  });

  /** One of which so much was not taken by its client yet. */
  function connected(waitingBytes: number): Socket {
    const socket = new Socket();
    socket.on('error', () => undefined);
    Object.defineProperty(socket, 'writableLength', { value: waitingBytes });
    limits.take(socket, () => ({}) as Client);
    return socket;
  }

  it('are counted for their caller until they end, also where another one came under the client id', async () => {
    const caller: Caller = { id: 'panel', role: 'component', devices: ['*'] };
    const enter = (id: string): Socket | null => {
      const conn = connected(0);
      return limits.enter({ id, conn } as unknown as Client, caller) ? conn : null;
    };
    const gone = async (socket: Socket | null): Promise<void> => {
      socket?.destroy();
      await new Promise((resolve) => socket?.once('close', resolve));
    };
    const one = enter('one');
    enter('two');
    expect(enter('three')).toBeNull();
    const again = enter('one');
    expect(again).not.toBeNull();
    // It has gone before it took the place.
    await gone(again);
    expect(enter('three')).toBeNull();
    await gone(one);
    expect(enter('three')).not.toBeNull();
  });

  it('are cut for what waits for one of them', () => {
    const [fits, tooMuch] = [connected(16 * MIB), connected(16 * MIB + 1)];
    jest.advanceTimersByTime(1000);
    expect([fits.destroyed, tooMuch.destroyed]).toEqual([false, true]);
    expect(told).toEqual(['slow']);
  });

  it('are cut for what waits for all, those first that have the most', () => {
    const all = [13, 1, 15, 13, 14, 0, 12].map((mib) => connected(mib * MIB));
    jest.advanceTimersByTime(1000);
    expect(all.map(({ destroyed }) => destroyed)).toEqual([false, false, true, false, false, false, false]);
    expect(told).toEqual(['slow']);
  });
});
