import { Readable } from 'node:stream';

/** What goes out to a client: a publish, or the release of one of QoS 2. */
export interface Outgoing {
  /** The broker's number of the message, by which each of its receivers is told it once. */
  readonly brokerCounter?: number;
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
}

/**
 * What clients with a session have not acknowledged yet. Each message is there once, however many of a client's filters
 * match it, and nothing is kept of a session that is over.
 */
export class Unacknowledged {
  private readonly sessions = new Map<string, OfOne>();

  add(clientId: string, packet: Outgoing): void {
    const { brokerCounter } = packet;
    const { packets } = this.of(clientId);
    if (brokerCounter !== undefined && !packets.has(brokerCounter)) packets.set(brokerCounter, { ...packet });
  }

  /**
   * The packet has its number; or, the release of one of QoS 2, it is in place of the one that has it. One that is not
   * there is left out: the session that it was for is over, and this is another's.
   */
  update(clientId: string, packet: Outgoing): void {
    const ofOne = this.sessions.get(clientId);
    const { brokerCounter, messageId } = packet;
    if (ofOne === undefined || messageId === undefined) return;
    const { packets, counters } = ofOne;
    if (packet.cmd === 'pubrel') {
      const released = counters.get(messageId);
      if (released !== undefined) packets.set(released, packet);
      return;
    }
    const known = brokerCounter === undefined ? undefined : packets.get(brokerCounter);
    if (brokerCounter === undefined || known === undefined) return;
    if (known.messageId !== undefined) counters.delete(known.messageId);
    packets.set(brokerCounter, { ...packet });
    counters.set(messageId, brokerCounter);
  }

  /** The client has it. */
  remove(clientId: string, messageId: number | undefined): Outgoing | undefined {
    const ofOne = this.sessions.get(clientId);
    if (ofOne === undefined || messageId === undefined) return undefined;
    const { packets, counters } = ofOne;
    const counter = counters.get(messageId);
    if (counter === undefined) return undefined;
    const packet = packets.get(counter);
    counters.delete(messageId);
    packets.delete(counter);
    if (packets.size === 0) this.sessions.delete(clientId);
    return packet;
  }

  /** To be sent to a client that comes back, in the order in which they came. */
  stream(clientId: string): Readable {
    const packets = [...(this.sessions.get(clientId)?.packets.values() ?? [])];
    return Readable.from(packets.map((packet) => ({ ...packet, ...(wasSent(packet) ? { dup: true } : {}) })));
  }

  forget(clientId: string): void {
    this.sessions.delete(clientId);
  }

  private of(clientId: string): OfOne {
    let ofOne = this.sessions.get(clientId);
    if (ofOne === undefined) {
      ofOne = { packets: new Map(), counters: new Map() };
      this.sessions.set(clientId, ofOne);
    }
    return ofOne;
  }
}

function wasSent({ cmd, messageId }: Outgoing): boolean {
  return cmd !== 'pubrel' && messageId !== undefined;
}
