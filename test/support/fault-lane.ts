import type { Socket } from 'node:net';

export type Direction = 'toServer' | 'toClient';

/** What one direction of a connection suffers; each property is read anew for each piece of data. */
export interface LaneFaults {
  /** Every byte comes so much later. Default 0. */
  latencyMs?: number;
  /** Up to so much more, drawn for each piece; the order stays. Default 0. */
  jitterMs?: number;
  /** A slow drip: no more comes in a second. Default: as fast as it can. */
  bytesPerSecond?: number;
  /** One bit is flipped in so many bytes, on average. Default: none. */
  flipEveryBytes?: number;
  /** Bits are flipped only in pieces of so many bytes or more: in records rather than what is around them. Default 0. */
  flipFromBytes?: number;
  /**
   * `held`: nothing comes, and everything when it is over, as on a line that is cut for a while. `lost`: what is sent
   * is swallowed, for ever, and nobody is told: from then on the connection is dead, also when the fault is over.
   * Default: `open`.
   */
  passage?: 'open' | 'held' | 'lost';
}

/** What a lane tells. */
export interface LaneStats {
  bytes: number;
  flippedBits: number;
  lostBytes: number;
}

/** What waits in a lane at the most; more is left with the sender. */
const MAX_WAITING_BYTES = 1024 * 1024;
/** A drip falls so often. */
const DRIP_MS = 20;
/** How soon it is seen that what was held may pass. */
const LOOK_MS = 10;

interface Piece {
  bytes: Buffer;
  readonly dueMs: number;
}

/** One direction of a proxied connection: takes what one side sends and hands it to the other, with faults. */
export class Lane {
  private readonly waiting: Piece[] = [];
  private waitingBytes = 0;
  private lastDueMs = 0;
  private timer: NodeJS.Timeout | undefined;
  private isEnding = false;
  private isClogged = false;
  private untilFlip: number | undefined;
  private flipsEvery: number | undefined;
  /** Something was swallowed: nothing that follows can make sense. */
  isDead = false;

  constructor(
    private readonly from: Socket,
    private readonly to: Socket,
    private readonly faults: () => LaneFaults,
    private readonly random: () => number,
    private readonly stats: LaneStats,
    /** Whether an end of the sender is kept from the other side. */
    private readonly isSilent: () => boolean,
  ) {
    from.on('data', (chunk: Buffer) => this.take(chunk));
    from.once('end', () => {
      this.isEnding = true;
      this.pump();
    });
    to.on('drain', () => {
      this.isClogged = false;
      this.pump();
    });
  }

  /** Nothing more is handed on. */
  stop(): void {
    clearTimeout(this.timer);
    this.isDead = true;
    this.waiting.length = 0;
  }

  private take(chunk: Buffer): void {
    const { latencyMs = 0, jitterMs = 0, passage } = this.faults();
    if (this.isDead || passage === 'lost') {
      this.isDead = true;
      this.stats.lostBytes += chunk.length;
      return;
    }
    this.flip(chunk);
    this.lastDueMs = Math.max(this.lastDueMs, performance.now() + latencyMs + jitterMs * this.random());
    this.waiting.push({ bytes: chunk, dueMs: this.lastDueMs });
    this.waitingBytes += chunk.length;
    if (this.waitingBytes > MAX_WAITING_BYTES) this.from.pause();
    this.pump();
  }

  /** The distance to the next flip is drawn from the seed alone, however the bytes come in pieces. */
  private flip(chunk: Buffer): void {
    const { flipEveryBytes, flipFromBytes = 0 } = this.faults();
    if (flipEveryBytes !== this.flipsEvery) this.untilFlip = undefined;
    this.flipsEvery = flipEveryBytes;
    if (flipEveryBytes === undefined || chunk.length < flipFromBytes) return;
    const draw = (): number => Math.ceil(-Math.log(1 - this.random()) * flipEveryBytes);
    let at = this.untilFlip ?? draw();
    for (; at < chunk.length; at += 1 + draw()) {
      chunk[at] = (chunk[at] ?? 0) ^ (1 << Math.floor(this.random() * 8));
      this.stats.flippedBits++;
    }
    this.untilFlip = at - chunk.length;
  }

  private pump(): void {
    clearTimeout(this.timer);
    if (this.isDead || this.to.destroyed) return;
    for (let head = this.waiting[0]; head !== undefined; head = this.waiting[0]) {
      const { passage, bytesPerSecond } = this.faults();
      if (passage === 'lost') {
        this.isDead = true;
        this.stats.lostBytes += this.waitingBytes;
        return;
      }
      if (passage === 'held') return this.again(LOOK_MS);
      if (this.isClogged) return;
      const waitMs = head.dueMs - performance.now();
      if (waitMs > 0) return this.again(Math.ceil(waitMs));
      if (bytesPerSecond === undefined) {
        this.waiting.shift();
        this.write(head.bytes);
        continue;
      }
      const drop = head.bytes.subarray(0, Math.max(1, Math.round((bytesPerSecond * DRIP_MS) / 1000)));
      head.bytes = head.bytes.subarray(drop.length);
      if (head.bytes.length === 0) this.waiting.shift();
      this.write(drop);
      return this.again(DRIP_MS);
    }
    if (!this.isEnding) return;
    if (this.isSilent()) this.again(LOOK_MS);
    else this.to.end();
  }

  private again(milliseconds: number): void {
    this.timer = setTimeout(() => this.pump(), milliseconds);
  }

  private write(bytes: Buffer): void {
    this.waitingBytes -= bytes.length;
    this.stats.bytes += bytes.length;
    if (!this.to.write(bytes)) this.isClogged = true;
    if (this.waitingBytes < MAX_WAITING_BYTES / 2) this.from.resume();
  }
}
