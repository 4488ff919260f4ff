import { connect, type Socket } from 'node:net';
import { until } from './http.js';

/** A client that sends whatever bytes it likes, as slowly as it likes. */
export class RawSocket {
  private readonly chunks: Buffer[] = [];
  isClosed = false;

  private constructor(readonly socket: Socket) {
    socket.on('data', (chunk: Buffer) => this.chunks.push(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => (this.isClosed = true));
  }

  /**
   * Resolves when it is connected, which says nothing of whether it will be let in.
   *
   * @param address a URL, or `host:port`
   * @param from the address that it comes from; all of 127.0.0.0/8 are this machine's
   */
  static async connect(address: string, from = '127.0.0.1'): Promise<RawSocket> {
    const { hostname, port } = new URL(address.includes('://') ? address : `tcp://${address}`);
    const socket = connect({ host: hostname, port: Number(port), localAddress: from });
    const peer = new RawSocket(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return peer;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }

  get text(): string {
    return this.bytes.toString();
  }

  send(bytes: string | Uint8Array): void {
    if (!this.socket.destroyed) this.socket.write(bytes);
  }

  /** Sends the bytes one by one, as slowly as a client that means to occupy a place. Ends when the connection does. */
  async trickle(bytes: string, pauseMs: number): Promise<void> {
    for (const byte of bytes) {
      if (this.isClosed) return;
      this.send(Buffer.from(byte, 'latin1'));
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  /** Reads no more, until {@link resume}. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** Waits until all of it has come: what is told apart by what it says. */
  async has(what: string | RegExp): Promise<string> {
    const isThere = (): boolean =>
      typeof what === 'string' ? this.text.includes(what) : what.test(this.text);
    await until(`${String(what)} in ${this.text.slice(0, 500)}`, () => isThere() || this.isClosed);
    if (!isThere()) throw new Error(`Closed before ${String(what)} came: ${this.text.slice(0, 500)}`);
    return this.text;
  }

  /** Waits until the other side has ended the connection, and gives all that came. */
  async closed(): Promise<string> {
    await until('the end of the connection', () => this.isClosed);
    return this.text;
  }

  destroy(): void {
    this.socket.destroy();
  }
}
