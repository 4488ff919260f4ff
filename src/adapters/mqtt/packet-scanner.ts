const LENGTH_BYTES_MAX = 4;

/** By the upper half of a packet's first byte. */
export const PACKET = { connect: 1, publish: 3, subscribe: 8, pingreq: 12 } as const;

/**
 * What a step has come to. `header`: the end of a fixed header · `end`: the end of a packet · `more`: the end of the
 * bytes · `broken`: what is no length; nothing that follows is of use then.
 */
export type Step = 'header' | 'end' | 'more' | 'broken';

/** Finds where packets begin and end in a stream of MQTT, by their fixed headers alone, however the stream is cut. */
export class PacketScanner {
  /** Where the last step has come to. */
  at = 0;
  /** Of the packet in hand. */
  type = 0;
  /** Of the packet in hand, without its fixed header. */
  length = 0;
  /** Whether a packet has begun and not ended. */
  isInPacket = false;
  private left = 0;
  private lengthBytes = 0;
  private isInLength = false;

  /** Goes on in the chunk from there. The end of a packet is a step of its own, also of one that is a header alone. */
  step(chunk: Uint8Array, from: number): Step {
    this.at = from;
    if (this.isInPacket && !this.isInLength) return this.pass(chunk);
    while (this.at < chunk.length) {
      const byte = chunk[this.at++] ?? 0;
      if (!this.isInPacket) {
        this.isInPacket = this.isInLength = true;
        this.type = byte >> 4;
        this.length = this.lengthBytes = 0;
        continue;
      }
      this.length += (byte & 0x7f) * 128 ** this.lengthBytes++;
      if (byte < 0x80) {
        this.isInLength = false;
        this.left = this.length;
        return 'header';
      }
      if (this.lengthBytes === LENGTH_BYTES_MAX) return 'broken';
    }
    return 'more';
  }

  private pass(chunk: Uint8Array): Step {
    const passed = Math.min(this.left, chunk.length - this.at);
    this.left -= passed;
    this.at += passed;
    if (this.left > 0) return 'more';
    this.isInPacket = false;
    return 'end';
  }
}
