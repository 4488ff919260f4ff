import { connect, type Socket } from 'node:net';

export interface LoadOptions {
  readonly url: string;
  /** Asked for in turn. */
  readonly paths: readonly string[];
  readonly connections: number;
  readonly milliseconds: number;
}

const LENGTH = 'content-length: ';
const HEAD_END = Buffer.from('\r\n\r\n');

/**
 * GET after GET over keep-alive connections, one at a time on each. Every answer must be a 200 with a content-length, and
 * is read to its end. A general load generator costs a multiple of what a server does for a small answer, and so
 * measures itself (tried: autocannon keeps a bare node:http server busy for a third of the time).
 *
 * @returns answers that were read to their end, and the milliseconds in which they were
 */
export async function loadWithGets(options: LoadOptions): Promise<{ count: number; milliseconds: number }> {
  const { hostname, port } = new URL(options.url);
  const requests = options.paths.map((path) =>
    Buffer.from(`GET ${path} HTTP/1.1\r\nhost: ${hostname}:${port}\r\naccept: */*\r\n\r\n`),
  );
  const start = performance.now();
  const end = start + options.milliseconds;
  let count = 0;
  const one = (from: number): Promise<void> =>
    new Promise((resolve, reject) => {
      let next = from;
      /** Of the answer's body; null: its head has not come whole. */
      let missing: number | null = null;
      let before: Buffer | null = null;
      const send = (socket: Socket): void => {
        socket.write(requests[next++ % requests.length] as Buffer);
      };
      const take = (socket: Socket, chunk: Buffer): void => {
        let bytes = chunk.length;
        if (missing === null) {
          const seen: Buffer = before === null ? chunk : Buffer.concat([before, chunk]);
          const headEnd = seen.indexOf(HEAD_END);
          if (headEnd < 0) {
            before = Buffer.from(seen);
            return;
          }
          before = null;
          missing = bodyBytesOf(seen.toString('latin1', 0, headEnd + 2));
          bytes = seen.length - headEnd - HEAD_END.length;
        }
        missing -= bytes;
        if (missing < 0) throw new Error('An answer is longer than it says');
        if (missing > 0) return;
        missing = null;
        count++;
        if (performance.now() < end) send(socket);
        else socket.end();
      };
      const buffer = Buffer.allocUnsafe(64 * 1024);
      const socket = connect({
        host: hostname,
        port: Number(port),
        noDelay: true,
        onread: {
          buffer,
          callback(length) {
            try {
              take(socket, buffer.subarray(0, length));
            } catch (error) {
              socket.destroy(error as Error);
            }
            return true;
          },
        },
      });
      socket.once('connect', () => send(socket));
      socket.once('error', reject);
      socket.once('close', () =>
        missing === null && before === null ? resolve() : reject(new Error('Cut off')),
      );
    });
  const step = Math.max(1, Math.floor(requests.length / options.connections));
  await Promise.all(Array.from({ length: options.connections }, (_, index) => one(index * step)));
  return { count, milliseconds: performance.now() - start };
}

/** @param head status line and headers, each with its line end */
function bodyBytesOf(head: string): number {
  const at = head.indexOf(LENGTH);
  if (!head.startsWith('HTTP/1.1 200 ') || at < 0)
    throw new Error(`Not the answer that was asked for: ${head}`);
  return Number(head.slice(at + LENGTH.length, head.indexOf('\r\n', at)));
}
