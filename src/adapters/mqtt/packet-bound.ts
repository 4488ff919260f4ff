const LENGTH_BYTES_MAX = 4;

/**
 * Finds packets that are too large in a stream of MQTT, by their fixed headers alone and before they are read: the
 * broker's own parser gathers up to 256 MiB first.
 */
export class PacketBound {
  /** Of the packet in hand; what is still to pass. */
  private left = 0;
  private length = 0;
  private lengthBytes = 0;
  private isInLength = false;

  /** @param maxBytes of a packet, without its fixed header */
  constructor(private readonly maxBytes: number) {}

  /** False: a packet is too large, or its length is none. Nothing that follows is of use then. */
  takes(chunk: Uint8Array): boolean {
    let at = 0;
    while (at < chunk.length) {
      if (this.left > 0) {
        const passed = Math.min(this.left, chunk.length - at);
        this.left -= passed;
        at += passed;
      } else if (this.isInLength) {
        const byte = chunk[at++] ?? 0;
        this.length += (byte & 0x7f) * 128 ** this.lengthBytes++;
        if (byte < 0x80) {
          this.isInLength = false;
          if (this.length > this.maxBytes) return false;
          this.left = this.length;
        } else if (this.lengthBytes === LENGTH_BYTES_MAX) {
          return false;
        }
      } else {
        // The type and flags.
        at++;
        this.isInLength = true;
        this.length = this.lengthBytes = 0;
      }
    }
    return true;
  }
}
