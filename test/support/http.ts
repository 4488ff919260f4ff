import { connect } from 'node:net';

/** An HTTP answer, its body parsed where it is JSON. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: Readonly<Record<string, unknown>>;
}

async function answerOf(response: Response): Promise<Answer> {
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json') === true;
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: isJson && text !== '' ? (JSON.parse(text) as Record<string, unknown>) : {},
  };
}

/** Calls the REST API of one service. */
export class RestClient {
  /**
   * @param prefix the service's TOPIC_PREFIX
   * @param headers of every request
   */
  constructor(
    readonly url: string,
    readonly prefix = 'state',
    private readonly headers: Record<string, string> = {},
  ) {}

  async call(method: string, path: string, init: RequestInit = {}): Promise<Answer> {
    const headers = { ...this.headers, ...(init.headers as Record<string, string> | undefined) };
    return answerOf(await fetch(`${this.url}${path}`, { ...init, method, headers }));
  }

  get(path: string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.call('GET', path, { headers });
  }

  /** @param body text or bytes as they are; an object as JSON */
  update(
    deviceId: string,
    body: object | string | Uint8Array<ArrayBuffer>,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const bytes = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body);
    return this.call('POST', `/${this.prefix}/${deviceId}/update`, {
      body: bytes,
      headers: { 'content-type': 'application/json', ...headers },
    });
  }

  report(deviceId: string, reported: object, headers: Record<string, string> = {}): Promise<Answer> {
    return this.update(deviceId, { state: { reported } }, headers);
  }

  delete(deviceId: string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.call('DELETE', `/${this.prefix}/${deviceId}`, { headers });
  }
}

/**
 * Sends these bytes over a connection of their own and gives back all that comes until the other side closes it. For
 * what `fetch` does not let through.
 */
export function raw(url: string, request: string): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write(request));
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('close', () => resolve(Buffer.concat(chunks).toString()));
  });
}

/** A raw GET of a path that no client may tidy up. */
export function rawGet(url: string, path: string, method = 'GET'): Promise<string> {
  return raw(url, `${method} ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
}

/** Tries until the condition holds; fails after a limit that only a hang can reach. */
export async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 90_000;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`Not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
