const PUBACK = 0x40;

interface Held {
  readonly packetId: number;
  readonly sent: () => void;
  mayGo: boolean;
}

/**
 * The acknowledgements of one connection: each goes when it may, and in the order in which the publishes came, as MQTT
 * asks. What may go together is written together, one turn of the event loop later: behind all that the same answers
 * had to be told.
 */
export class HeldAcks {
  private held: Held[] = [];
  private isFlushing = false;

  /** @param write does nothing where the connection is over */
  constructor(private readonly write: (bytes: Buffer) => boolean) {}

  /** @returns what is to be called when this one may go; `sent` is called when it was written */
  hold(packetId: number, sent: () => void): () => void {
    const one: Held = { packetId, sent, mayGo: false };
    this.held.push(one);
    return () => {
      one.mayGo = true;
      if (this.isFlushing) return;
      this.isFlushing = true;
      setImmediate(() => this.flush());
    };
  }

  private flush(): void {
    this.isFlushing = false;
    const end = this.held.findIndex(({ mayGo }) => !mayGo);
    const going = this.held.splice(0, end === -1 ? this.held.length : end);
    if (going.length === 0) return;
    const bytes = going.flatMap(({ packetId }) => [PUBACK, 2, packetId >> 8, packetId & 0xff]);
    if (!this.write(Buffer.from(bytes))) return;
    for (const { sent } of going) sent();
  }
}
