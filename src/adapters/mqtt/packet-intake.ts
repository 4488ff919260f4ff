import { type Socket } from 'node:net';
import { type InFlight } from '../../application/access/in-flight.js';
import { PACKET, PacketScanner, type Step } from './packet-scanner.js';

/** Of a CONNECT: with it come a client id, a will, a user name and a password or token, from somebody unknown. */
const MAX_CONNECT_BYTES = 16 * 1024;
/** Of a packet that is no publish: the largest asks for some hundred filters. */
const MAX_CONTROL_BYTES = 32 * 1024;
/** So many publishes and subscribes of one connection are in hand at once, and of so many bytes unless it is one alone. */
export const MAX_IN_HAND_COUNT = 100;
const MAX_IN_HAND_BYTES = 1024 * 1024;
/** So much is looked at while what stands before it must wait. */
const READ_AHEAD_BYTES = 16 * 1024;
const PING_BYTES = 2;
const PINGRESP = '\xd0\0';

export interface PacketIntakeOptions {
  readonly maxPublishBytes: number;
  /** What the requests of all connections may take. */
  readonly inFlight: InFlight;
  /** Counts a request of this connection, and tells for how many milliseconds it must wait. */
  readonly pay: () => number;
  /** Something has come of the client, or it is held up by what is not its fault. */
  readonly onAlive: () => void;
  /** It cannot go on; the reason is for the log. */
  readonly onTooLarge: (reason: string) => void;
}

type Request = 'publish' | 'subscribe';

/**
 * Stands between a connection and the broker, which it gives no more than the broker may have: the CONNECT alone until
 * the client is let in, and then no more requests than may be in hand. What must wait is not read from the connection,
 * so that it waits at its sender. Pings are answered at once, ahead of what waits; what is too large ends the connection
 * before it is read.
 */
export class PacketIntake {
  /** Of what has been read from the connection. */
  private front = new PacketScanner();
  /** Of what the broker was given. */
  private readonly back = new PacketScanner();
  private readonly readSocket: (size?: number) => unknown;
  /** What has been read and the broker was not given. */
  private rest: Buffer | null = null;
  /** Whether the first packet, which must be a CONNECT, has come whole. */
  private hasFirst = false;
  private isOpen = false;
  private isHeld = false;
  private isPaced = false;
  private isPaid = false;
  private hasRoom = false;
  private timer: NodeJS.Timeout | undefined;
  private leaveQueue: (() => void) | undefined;
  private inHandCount = 0;
  private inHandBytes = 0;
  /** Requests that the broker was given and has not begun with: their bytes. */
  private readonly given: Record<Request, number[]> = { publish: [], subscribe: [] };
  private lateCount = 0;

  constructor(
    private readonly socket: Socket,
    private readonly options: PacketIntakeOptions,
  ) {
    this.readSocket = socket.read.bind(socket);
    socket.read = (size?: number): unknown => (size === 0 ? this.nudge() : this.read());
    // Before the broker's own, which reads what this has taken in.
    socket.on('readable', () => this.takeIn());
    socket.once('close', () => this.end());
  }

  /** The client was let in: what it sent behind its CONNECT may go on. */
  open(): void {
    this.isOpen = true;
    const { rest } = this;
    if (rest !== null) {
      // From where its CONNECT ended: for pings among it, which nobody could answer before.
      this.front = new PacketScanner();
      this.rest = null;
      this.look(rest);
    }
    this.goOn();
  }

  /** Whether what it sends waits for its turn, so that no more than one request should be in hand. */
  pace(isPaced: boolean): void {
    const isOver = this.isPaced && !isPaced;
    this.isPaced = isPaced;
    if (isOver) this.tryAgain();
  }

  /** The broker has begun with a request; gives what is to be called when it has done with it. */
  begin(request: Request): () => void {
    const bytes = this.given[request].shift();
    let isDone = bytes === undefined;
    return () => {
      if (isDone) return;
      isDone = true;
      this.give(bytes ?? 0);
      this.tryAgain();
    };
  }

  /**
   * To be called again and again.
   *
   * @returns whether the client has let this happen so many times while a packet of it, or its CONNECT, was not whole
   */
  isLate(count: number): boolean {
    if (this.isFull()) {
      // What it sends is not looked at, so it may well be there.
      this.lateCount = 0;
      this.options.onAlive();
    } else if (this.front.isInPacket || !this.hasFirst) {
      this.lateCount++;
    }
    return this.lateCount > count;
  }

  /** Node's own way to have more read. It would tell of the end of the connection, too, before all was given. */
  private nudge(): unknown {
    return this.rest === null && !this.isHeld ? this.readSocket(0) : null;
  }

  /** What the broker may have now. */
  private read(): Buffer | null {
    this.takeIn();
    if (this.isHeld || this.socket.destroyed) return null;
    const chunk = this.rest;
    if (chunk === null) {
      // Where the client has gone, this says so.
      return this.readSocket() as null;
    }
    const { back } = this;
    let endCount = 0;
    let at = 0;
    while (!this.isHeld) {
      const step = back.step(chunk, at);
      at = back.at;
      if (step === 'header') this.isHeld = !this.letsIn();
      else if (step !== 'end') break;
      else {
        endCount++;
        if (!this.isOpen) this.isHeld = true;
      }
    }
    this.rest = at === chunk.length ? null : chunk.subarray(at);
    // The broker asks again only when it has done with a packet.
    if (endCount === 0 && !this.isHeld) setImmediate(() => this.socket.emit('readable'));
    return chunk.subarray(0, at);
  }

  /** Reads from the connection what may be looked at. */
  private takeIn(): void {
    const { socket } = this;
    // By the length, since to read what is not there would tell of the end of the connection before all was given.
    while (!this.isFull() && socket.readableLength > 0 && !socket.destroyed) {
      const chunk = this.readSocket(socket.readableLength);
      if (!(chunk instanceof Buffer)) return;
      this.options.onAlive();
      this.look(chunk);
    }
  }

  private look(chunk: Buffer): void {
    const { front } = this;
    const parts = this.rest === null ? [] : [this.rest];
    /** Where begins what was not put by. */
    let from = 0;
    let pingCount = 0;
    for (let at = 0, start = 0, step: Step = 'end'; step !== 'more'; at = front.at) {
      if (step === 'end') start = at;
      step = front.step(chunk, at);
      if (step === 'broken' || (step === 'header' && front.length > this.maxBytes())) {
        const reason =
          step === 'broken' ? 'No packet has such a length' : `A packet of ${front.length} bytes`;
        return this.options.onTooLarge(reason);
      }
      if (step !== 'end') continue;
      this.hasFirst = true;
      this.lateCount = 0;
      // One whose first byte came before this chunk is the broker's to answer.
      const isPing = front.type === PACKET.pingreq && front.length === 0 && front.at - start === PING_BYTES;
      if (!isPing || !this.isOpen) continue;
      pingCount++;
      if (start > from) parts.push(chunk.subarray(from, start));
      from = front.at;
    }
    if (pingCount > 0) this.socket.write(PINGRESP.repeat(pingCount), 'latin1');
    if (from < chunk.length) parts.push(chunk.subarray(from));
    const [only, ...others] = parts;
    this.rest = only === undefined ? null : others.length === 0 ? only : Buffer.concat(parts);
  }

  private maxBytes(): number {
    if (!this.hasFirst) return MAX_CONNECT_BYTES;
    return this.front.type === PACKET.publish ? this.options.maxPublishBytes : MAX_CONTROL_BYTES;
  }

  private isFull(): boolean {
    return this.rest !== null && this.rest.length >= READ_AHEAD_BYTES;
  }

  /** Whether the packet whose header was just given may be given, too; where not, it is held. */
  private letsIn(): boolean {
    if (this.back.type !== PACKET.publish && this.back.type !== PACKET.subscribe) return true;
    this.isPaid = this.hasRoom = false;
    return this.hasItsTurn();
  }

  private hasItsTurn(): boolean {
    const { length, type } = this.back;
    if (!this.isPaid) {
      this.isPaid = true;
      const waitMs = this.options.pay();
      if (waitMs > 0) {
        this.timer = setTimeout(() => {
          this.timer = undefined;
          this.tryAgain();
        }, waitMs);
      }
    }
    if (this.timer !== undefined || this.leaveQueue !== undefined) return false;
    if (this.inHandCount >= (this.isPaced ? 1 : MAX_IN_HAND_COUNT)) return false;
    if (this.inHandCount > 0 && this.inHandBytes + length > MAX_IN_HAND_BYTES) return false;
    if (!this.hasRoom && !this.options.inFlight.take(length)) {
      this.leaveQueue = this.options.inFlight.wait(length, () => {
        this.leaveQueue = undefined;
        this.hasRoom = true;
        this.tryAgain();
      });
      return false;
    }
    this.inHandCount++;
    this.inHandBytes += length;
    this.given[type === PACKET.publish ? 'publish' : 'subscribe'].push(length);
    return true;
  }

  private tryAgain(): void {
    if (!this.isHeld || !this.isOpen || this.socket.destroyed) return;
    if (this.hasItsTurn()) this.goOn();
  }

  private goOn(): void {
    this.isHeld = false;
    // In a turn of its own: the broker may be in the middle of something.
    setImmediate(() => this.socket.emit('readable'));
  }

  private give(bytes: number): void {
    this.inHandCount--;
    this.inHandBytes -= bytes;
    this.options.inFlight.give(bytes);
  }

  private end(): void {
    clearTimeout(this.timer);
    this.leaveQueue?.();
    if (this.isHeld && this.hasRoom) this.options.inFlight.give(this.back.length);
    for (const bytes of [...this.given.publish.splice(0), ...this.given.subscribe.splice(0)])
      this.give(bytes);
    this.rest = null;
  }
}
