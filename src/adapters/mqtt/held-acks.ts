import { AcksInOrder } from './acks-in-order.js';

const PUBACK = 0x40;

interface Going {
  readonly packetId: number;
  readonly sent: () => void;
}

/**
 * The acknowledgements of one connection: each goes when it may, and in the order in which the publishes came, as MQTT
 * asks. What may go together is written together, one turn of the event loop later: behind all that the same answers
 * had to be told.
 */
export class HeldAcks {
  private readonly order = new AcksInOrder();
  private going: Going[] = [];

  /** @param write does nothing where the connection is over */
  constructor(private readonly write: (bytes: Buffer) => boolean) {}

  /** @returns what is to be called when this one may go; `sent` is called when it was written */
  hold(packetId: number, sent: () => void): () => void {
    const letGo = this.order.hold();
    return () => letGo(() => this.send({ packetId, sent }));
  }

  private send(one: Going): void {
    if (this.going.push(one) === 1) setImmediate(() => this.flush());
  }

  private flush(): void {
    const { going } = this;
    this.going = [];
    const bytes = going.flatMap(({ packetId }) => [PUBACK, 2, packetId >> 8, packetId & 0xff]);
    if (!this.write(Buffer.from(bytes))) return;
    for (const { sent } of going) sent();
  }
}
