import { Readable } from 'node:stream';

/** What goes out to a client: a publish, or the release of one of QoS 2. */
export interface Outgoing {
  /** The broker's number of the message, by which each of its receivers is told it once. */
  readonly brokerCounter?: number;
  readonly payload?: Buffer | string;
  /** The client's number of it, once it is sent. */
  messageId?: number;
  cmd?: string;
  /** Whether it is sent again. */
  dup?: boolean;
}

interface OfOne {
  /** By the broker's numbers, in the order in which they came. */
  readonly packets: Map<number, Outgoing>;
  /** By the client's numbers: the broker's. */
  readonly counters: Map<number, number>;
  bytes: number;
}

/** The most that is kept of one session, and of all. */
export const MAX_KEPT_COUNT = 1000;
export const MAX_KEPT_BYTES = 16 * 1024 * 1024;
export const MAX_ALL_KEPT_BYTES = 64 * 1024 * 1024;
/** Of a message beside its payload, by estimate. */
const OVERHEAD_BYTES = 512;

/**
 * What clients with a session have not acknowledged yet. Each message is there once, however many of a client's filters
 * match it, and nothing is kept of a session that is over.
 *
 * Each message is sent when it comes; what is kept is to be sent again to a client that comes back. Where that is too
 * much, a session loses its oldest: what came later says more of how things are.
 */
export class Unacknowledged {
  private readonly sessions = new Map<string, OfOne>();
  private bytes = 0;

  /** @param onDropped is told of each message that is not kept any more although its client has not acknowledged it */
  constructor(private readonly onDropped: (clientId: string) => void) {}

  add(clientId: string, packet: Outgoing): void {
    const { brokerCounter } = packet;
    const ofOne = this.of(clientId);
    const { packets } = ofOne;
    if (brokerCounter === undefined || packets.has(brokerCounter)) return;
    this.put(ofOne, brokerCounter, { ...packet });
    while (packets.size > MAX_KEPT_COUNT || (ofOne.bytes > MAX_KEPT_BYTES && packets.size > 1))
      this.dropOldest(clientId, ofOne);
    while (this.bytes > MAX_ALL_KEPT_BYTES) this.shrinkLargest();
  }

  /**
   * The packet has its number; or, the release of one of QoS 2, it is in place of the one that has it. One that is not
   * there is left out: the session that it was for is over, and this is another's, or it was too much.
   */
  update(clientId: string, packet: Outgoing): void {
    const ofOne = this.sessions.get(clientId);
    const { brokerCounter, messageId } = packet;
    if (ofOne === undefined || messageId === undefined) return;
    const { packets, counters } = ofOne;
    if (packet.cmd === 'pubrel') {
      const released = counters.get(messageId);
      if (released !== undefined) this.put(ofOne, released, packet);
      return;
    }
    const known = brokerCounter === undefined ? undefined : packets.get(brokerCounter);
    if (brokerCounter === undefined || known === undefined) return;
    if (known.messageId !== undefined) counters.delete(known.messageId);
    this.put(ofOne, brokerCounter, { ...packet });
    counters.set(messageId, brokerCounter);
  }

  /** The client has it. */
  remove(clientId: string, messageId: number | undefined): Outgoing | undefined {
    const ofOne = this.sessions.get(clientId);
    const counter = messageId === undefined ? undefined : ofOne?.counters.get(messageId);
    if (ofOne === undefined || counter === undefined) return undefined;
    const packet = this.take(ofOne, counter);
    if (ofOne.packets.size === 0) this.sessions.delete(clientId);
    return packet;
  }

  /** To be sent to a client that comes back, in the order in which they came. */
  stream(clientId: string): Readable {
    const packets = [...(this.sessions.get(clientId)?.packets.values() ?? [])];
    return Readable.from(packets.map((packet) => ({ ...packet, ...(wasSent(packet) ? { dup: true } : {}) })));
  }

  forget(clientId: string): void {
    this.bytes -= this.sessions.get(clientId)?.bytes ?? 0;
    this.sessions.delete(clientId);
  }

  private of(clientId: string): OfOne {
    let ofOne = this.sessions.get(clientId);
    if (ofOne === undefined) {
      ofOne = { packets: new Map(), counters: new Map(), bytes: 0 };
      this.sessions.set(clientId, ofOne);
    }
    return ofOne;
  }

  private put(ofOne: OfOne, counter: number, packet: Outgoing): void {
    this.count(ofOne, bytesOf(packet) - bytesOf(ofOne.packets.get(counter)));
    ofOne.packets.set(counter, packet);
  }

  private take(ofOne: OfOne, counter: number): Outgoing | undefined {
    const packet = ofOne.packets.get(counter);
    this.count(ofOne, -bytesOf(packet));
    ofOne.packets.delete(counter);
    const { messageId } = packet ?? {};
    if (messageId !== undefined && ofOne.counters.get(messageId) === counter)
      ofOne.counters.delete(messageId);
    return packet;
  }

  private count(ofOne: OfOne, bytes: number): void {
    ofOne.bytes += bytes;
    this.bytes += bytes;
  }

  private dropOldest(clientId: string, ofOne: OfOne): void {
    for (const counter of ofOne.packets.keys()) {
      this.take(ofOne, counter);
      this.onDropped(clientId);
      return;
    }
  }

  /** By half, so that it is not looked for again soon. */
  private shrinkLargest(): void {
    let largest: [string, OfOne] | undefined;
    for (const one of this.sessions) if (one[1].bytes > (largest?.[1].bytes ?? -1)) largest = one;
    if (largest === undefined) return;
    const [clientId, ofOne] = largest;
    const bytes = ofOne.bytes / 2;
    while (ofOne.bytes > bytes) this.dropOldest(clientId, ofOne);
    if (ofOne.packets.size === 0) this.sessions.delete(clientId);
  }
}

function bytesOf(packet: Outgoing | undefined): number {
  return packet === undefined ? 0 : OVERHEAD_BYTES + (packet.payload?.length ?? 0);
}

function wasSent({ cmd, messageId }: Outgoing): boolean {
  return cmd !== 'pubrel' && messageId !== undefined;
}
