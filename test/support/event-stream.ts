import { until } from './http.js';

export interface StreamEvent {
  readonly id: string | undefined;
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** A reader of server-sent events, without the reconnecting of a browser's. */
export class EventStream {
  readonly events: StreamEvent[] = [];
  private isOpen = true;

  private constructor(
    readonly response: Response,
    private readonly abort: AbortController,
  ) {
    void this.read();
  }

  /** Resolves once the service has answered; for a 200 what happens from now on is in the stream. */
  static async open(
    url: string,
    deviceId: string,
    lastEventId?: string,
    prefix = 'state',
  ): Promise<EventStream> {
    return EventStream.at(`${url}/${prefix}/${deviceId}/events`, lastEventId);
  }

  /** As {@link open}, at an address of one's own. */
  static async at(address: string, lastEventId?: string): Promise<EventStream> {
    const abort = new AbortController();
    const headers: Record<string, string> = lastEventId === undefined ? {} : { 'last-event-id': lastEventId };
    const response = await fetch(address, { headers, signal: abort.signal });
    return new EventStream(response, abort);
  }

  get names(): string[] {
    return this.events.map(({ event }) => event);
  }

  /** Waits for so many events. */
  async has(count: number): Promise<StreamEvent[]> {
    await until(
      `${count} events, there are ${JSON.stringify(this.names)}`,
      () => this.events.length >= count,
    );
    return this.events;
  }

  async ended(): Promise<void> {
    await until('the end of the stream', () => !this.isOpen);
  }

  close(): void {
    this.abort.abort();
  }

  private async read(): Promise<void> {
    let text = '';
    const decoder = new TextDecoder();
    try {
      for await (const chunk of this.response.body ?? []) {
        text += decoder.decode(chunk as Uint8Array, { stream: true });
        const blocks = text.split('\n\n');
        text = blocks.pop() ?? '';
        for (const block of blocks) this.take(block);
      }
    } catch {
      // The connection is gone, by our own doing or the service's.
    }
    this.isOpen = false;
  }

  private take(block: string): void {
    const event = parseEvent(block);
    if (event !== null) this.events.push(event);
  }
}

/** One block of a stream, between two empty lines; null: there is no data in it. */
export function parseEvent(block: string): StreamEvent | null {
  const field = (name: string): string | undefined =>
    block
      .split('\n')
      .find((line) => line.startsWith(`${name}: `))
      ?.slice(name.length + 2);
  const data = field('data');
  if (data === undefined) return null;
  const parsed = JSON.parse(data) as Record<string, unknown>;
  return { id: field('id'), event: field('event') ?? 'message', data: parsed };
}
