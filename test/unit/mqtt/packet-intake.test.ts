import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { InFlight } from '../../../src/application/access/in-flight.js';
import { MAX_IN_HAND_COUNT, PacketIntake } from '../../../src/adapters/mqtt/packet-intake.js';
import { PACKET, PacketScanner } from '../../../src/adapters/mqtt/packet-scanner.js';
import { cut, packetOf } from '../support/mqtt-packets.js';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Rig {
  readonly intake: PacketIntake;
  /** Types of the packets that the broker was given whole. */
  readonly given: number[];
  readonly bytes: Buffer[];
  readonly sent: Buffer[];
  readonly tooLarge: string[];
  aliveCount: number;
  mostInHand: number;
  isEnded: boolean;
  receive(bytes: Buffer): void;
  hangUp(): void;
  /** The broker has done with the first of the requests that it has. */
  finish(): boolean;
}

/** An intake between a connection and what the broker does with it: it asks for more when it has done with a packet. */
function rig({ inFlight = new InFlight(1 << 30), pay = (): number => 0 } = {}): Rig {
  const sent: Buffer[] = [];
  const socket = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      sent.push(chunk);
      done();
    },
  });
  const inHand: (() => void)[] = [];
  const scanner = new PacketScanner();
  const state: Rig = {
    given: [],
    bytes: [],
    sent,
    tooLarge: [],
    aliveCount: 0,
    mostInHand: 0,
    isEnded: false,
    intake: new PacketIntake(socket as unknown as Socket, {
      maxPublishBytes: 100_000,
      inFlight,
      pay,
      onAlive: () => state.aliveCount++,
      onTooLarge: (reason) => {
        state.tooLarge.push(reason);
        socket.destroy();
      },
    }),
    receive: (bytes) => {
      if (!socket.destroyed) socket.push(bytes);
    },
    hangUp: () => socket.push(null),
    finish: () => {
      const end = inHand.shift();
      end?.();
      return end !== undefined;
    },
  };
  let parsing = 1;
  const readOn = (): void => {
    if (--parsing > 0) return;
    parsing = 0;
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    state.bytes.push(chunk);
    for (let step = scanner.step(chunk, 0); step !== 'more'; step = scanner.step(chunk, scanner.at)) {
      if (step !== 'end') continue;
      const { type } = scanner;
      state.given.push(type);
      parsing++;
      if (type === PACKET.publish || type === PACKET.subscribe) {
        const end = state.intake.begin(type === PACKET.publish ? 'publish' : 'subscribe');
        inHand.push(() => {
          end();
          readOn();
        });
        state.mostInHand = Math.max(state.mostInHand, inHand.length);
      } else {
        setImmediate(readOn);
      }
    }
  };
  socket.on('readable', readOn);
  socket.on('end', () => (state.isEnded = true));
  return state;
}

const connect = packetOf(PACKET.connect, 12);
const publish = packetOf(PACKET.publish, 20);
const ping = packetOf(PACKET.pingreq, 0);

async function opened(options = {}): Promise<Rig> {
  const one = rig(options);
  one.receive(connect);
  await turn();
  one.intake.open();
  await turn();
  return one;
}

/** Until nothing moves any more; the broker finishes what it has in hand, where it may. */
async function settle(one: Rig, isFinishing: boolean): Promise<void> {
  for (let quiet = 0; quiet < 3; quiet++) {
    const before = one.given.length;
    while (isFinishing && one.finish()) quiet = 0;
    await turn();
    if (one.given.length > before) quiet = 0;
  }
}

describe('PacketIntake', () => {
  it('gives the broker all that comes, in order and however it is cut, never too much at once, and pings apart', async () => {
    const packets = fc.oneof(
      { weight: 6, arbitrary: fc.tuple(fc.constant<number>(PACKET.publish), fc.nat(3000)) },
      { weight: 1, arbitrary: fc.tuple(fc.constantFrom<number>(PACKET.subscribe, 4, 10), fc.nat(200)) },
      { weight: 1, arbitrary: fc.constant<[number, number]>([PACKET.pingreq, 0]) },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(packets, { maxLength: 400 }),
        fc.array(fc.nat(1_000_000), { maxLength: 30 }),
        fc.array(fc.nat(3), { minLength: 30, maxLength: 30 }),
        async (all, places, dice) => {
          const one = await opened({ inFlight: new InFlight(60 * 4096) });
          const bytes = all.map(([type, length]) => packetOf(type, length));
          for (const [index, chunk] of cut(Buffer.concat(bytes), places).entries()) {
            if (chunk.length > 0) one.receive(chunk);
            await turn();
            for (let count = dice[index] ?? 0; count > 0; count--) one.finish();
          }
          one.hangUp();
          await settle(one, true);
          const isPing = (type: number): boolean => type === PACKET.pingreq;
          const [first, ...given] = one.given;
          expect(first).toBe(PACKET.connect);
          const others = all.filter(([type]) => !isPing(type));
          expect(given.filter((type) => !isPing(type))).toEqual(others.map(([type]) => type));
          const answeredCount = Buffer.concat(one.sent).length / 2 + given.filter(isPing).length;
          expect(answeredCount).toBe(all.length - others.length);
          const length = one.bytes.reduce((sum, part) => sum + part.length, 0);
          const sum = [connect, ...bytes].reduce((total, part) => total + part.length, 0);
          expect(length).toBe(sum - Buffer.concat(one.sent).length);
          expect(one.mostInHand).toBeLessThanOrEqual(60);
          // Not before all was given.
          expect(one.isEnded).toBe(true);
          expect(one.tooLarge).toEqual([]);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('gives nothing but the CONNECT until the client is let in, and then what came behind it', async () => {
    const one = rig();
    one.receive(Buffer.concat([connect, publish, publish]));
    one.receive(publish);
    await settle(one, true);
    expect(one.given).toEqual([PACKET.connect]);
    one.intake.open();
    await settle(one, true);
    expect(one.given).toEqual([PACKET.connect, ...Array.from({ length: 3 }, () => PACKET.publish)]);
  });

  it('has no more than a hundred requests in hand, and reads only a little further', async () => {
    const one = await opened();
    const many = Array.from({ length: 300 }, () => publish);
    one.receive(Buffer.concat(many));
    await settle(one, false);
    expect(one.given.length - 1).toBe(MAX_IN_HAND_COUNT);
    // The pings of a client whose publishes wait are answered: behind what it sent, as it comes to send them.
    one.receive(ping);
    await turn();
    expect(Buffer.concat(one.sent)).toEqual(Buffer.from([0xd0, 0]));
    for (let count = 0; count < 40; count++) one.receive(Buffer.concat(many));
    const held = (one.intake as unknown as { rest: Buffer }).rest.length;
    expect(held).toBeLessThan(2 * 300 * publish.length + 16 * 1024);
    one.finish();
    await settle(one, false);
    expect(one.mostInHand).toBe(MAX_IN_HAND_COUNT);
    await settle(one, true);
    expect(one.given.length - 1).toBe(41 * 300);
  });

  it('has no more in hand than a mebibyte, or one that is larger', async () => {
    const one = await opened();
    const large = packetOf(PACKET.publish, 90_000);
    one.receive(Buffer.concat(Array.from({ length: 30 }, () => large)));
    await settle(one, false);
    expect(one.mostInHand).toBe(11);
    await settle(one, true);
    expect(one.given).toHaveLength(31);
  });

  it('waits for room among all connections, and has its turn', async () => {
    const inFlight = new InFlight(3 * (4096 + 20));
    const [one, other] = [await opened({ inFlight }), await opened({ inFlight })];
    one.receive(Buffer.concat(Array.from({ length: 10 }, () => publish)));
    await settle(one, false);
    other.receive(publish);
    await settle(other, false);
    expect([one.given.length - 1, other.given.length - 1]).toEqual([3, 0]);
    one.finish();
    await settle(one, false);
    one.finish();
    await settle(other, false);
    expect(other.given.length - 1).toBe(1);
    await settle(other, true);
    await settle(one, true);
    expect(one.given.length - 1).toBe(10);
  });

  it('leaves nothing taken of what all have when a connection is over', async () => {
    const inFlight = new InFlight(2 * (4096 + 20));
    const one = await opened({ inFlight });
    one.receive(Buffer.concat(Array.from({ length: 5 }, () => publish)));
    await settle(one, false);
    const { socket } = one.intake as unknown as { socket: Duplex };
    socket.destroy();
    await turn();
    // What the broker has begun with is still in hand.
    expect(inFlight.take(20)).toBe(false);
    while (one.finish());
    expect([inFlight.take(20), inFlight.take(20), inFlight.take(20)]).toEqual([true, true, false]);
  });

  it('keeps to the rate, by not reading on', async () => {
    let isOver = false;
    const one = await opened({ pay: () => (isOver ? 5 : 0) });
    one.receive(publish);
    await settle(one, true);
    isOver = true;
    one.receive(Buffer.concat([publish, publish]));
    await settle(one, true);
    expect(one.given.length - 1).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await settle(one, true);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await settle(one, true);
    expect(one.given.length - 1).toBe(3);
  });

  it.each([
    ['a CONNECT', [], packetOf(PACKET.connect, 16_385), 16_384],
    ['whatever comes in its place', [], packetOf(PACKET.publish, 16_385), 16_384],
    ['a publish', [connect], packetOf(PACKET.publish, 100_001), 100_000],
    ['another packet', [connect], packetOf(PACKET.subscribe, 32_769), 32_768],
  ])('ends the connection of %s that is too large, by its header alone', async (_, before, packet, most) => {
    const one = rig();
    one.receive(Buffer.concat([...before, packet.subarray(0, 5)]));
    await turn();
    expect(one.tooLarge).toEqual([`A packet of ${most + 1} bytes`]);
    const other = rig();
    other.receive(
      Buffer.concat([...before, packetOf(packet[0] === undefined ? 0 : packet[0] >> 4, most).subarray(0, 5)]),
    );
    await turn();
    expect(other.tooLarge).toEqual([]);
  });

  it('knows who lets a packet go on for ever, and is not to blame for what it does not read', async () => {
    const silent = rig();
    expect([silent.intake.isLate(2), silent.intake.isLate(2), silent.intake.isLate(2)]).toEqual([
      false,
      false,
      true,
    ]);

    const one = await opened();
    for (let count = 0; count < 5; count++) expect(one.intake.isLate(2)).toBe(false);
    one.receive(publish.subarray(0, 10));
    await turn();
    expect([one.intake.isLate(2), one.intake.isLate(2)]).toEqual([false, false]);
    one.receive(publish.subarray(10, 12));
    await turn();
    expect(one.intake.isLate(2)).toBe(true);

    const held = await opened();
    held.receive(Buffer.concat(Array.from({ length: 2000 }, () => publish)));
    held.receive(publish.subarray(0, 10));
    await settle(held, false);
    const before = held.aliveCount;
    for (let count = 0; count < 5; count++) expect(held.intake.isLate(2)).toBe(false);
    expect(held.aliveCount).toBe(before + 5);
  });

  it('gives one request at a time of a client whose requests wait for their turn', async () => {
    const one = await opened();
    one.intake.pace(true);
    one.receive(Buffer.concat(Array.from({ length: 10 }, () => publish)));
    for (let n = 1; n <= 4; n++) {
      for (let at = 0; at < 5; at++) await turn();
      expect(one.given).toEqual([PACKET.connect, ...Array.from({ length: n }, () => PACKET.publish)]);
      if (n < 4) expect(one.finish()).toBe(true);
    }
    one.intake.pace(false);
    for (let at = 0; at < 5; at++) await turn();
    one.finish();
    for (let at = 0; at < 20; at++) await turn();
    expect(one.given).toHaveLength(11);
    expect(one.mostInHand).toBe(7);
  });
});
