import { once } from 'node:events';
import { get, type ClientRequest, type IncomingMessage } from 'node:http';
import { type Answer, type AnswerChannel, type RequestChannel } from './documents.js';
import { MESSAGE_TIMEOUT_MS, type Link } from './link.js';
import { Mailbox } from './mailbox.js';

/** REST for what is sent and asked, server-sent events for what comes by itself. */
export class RestLink implements Link {
  readonly hasGetBody = false;
  private readonly mailbox: Mailbox;
  private lastEventId: string | undefined;
  private stream: ClientRequest | undefined;
  private reading: Promise<void> = Promise.resolve();

  constructor(
    owner: string,
    private readonly base: string,
    private readonly prefix: string,
    readonly deviceId: string,
  ) {
    this.mailbox = new Mailbox(owner);
  }

  address(channel: RequestChannel | AnswerChannel): string {
    return `${this.prefix}/${this.deviceId}/${channel.replace('.', '/')}`;
  }

  async send(channel: RequestChannel, request: object): Promise<void> {
    const url = `${this.base}/${this.address(channel)}`;
    const response =
      channel === 'get'
        ? await fetch(url)
        : await fetch(url, {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify(request),
          });
    const answer = (await response.json()) as Answer;
    this.mailbox.put(`${channel}.${response.ok ? 'accepted' : 'rejected'}`, answer);
  }

  async connect(): Promise<void> {
    const url = `${this.base}/${this.prefix}/${this.deviceId}/events`;
    const headers = this.lastEventId === undefined ? {} : { 'last-event-id': this.lastEventId };
    const stream = get(url, { headers, agent: false });
    this.stream = stream;
    const [response] = (await once(stream, 'response')) as [IncomingMessage];
    stream.on('error', (error) => this.lost(stream, error));
    if (response.statusCode !== 200) throw new Error(`The event stream was refused: ${response.statusCode}`);
    this.reading = this.read(response, stream);
  }

  async disconnect(): Promise<void> {
    const { stream } = this;
    this.stream = undefined;
    stream?.destroy();
    await this.reading;
  }

  receive(channel: AnswerChannel, what: string, matches: (answer: Answer) => boolean): Promise<Answer> {
    return this.mailbox.take(channel, what, matches, MESSAGE_TIMEOUT_MS);
  }

  fail(error: Error): void {
    this.mailbox.fail(error);
  }

  private async read(response: IncomingMessage, stream: ClientRequest): Promise<void> {
    let text = '';
    response.setEncoding('utf8');
    try {
      for await (const chunk of response as AsyncIterable<string>) {
        text += chunk;
        for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n')) {
          this.take(text.slice(0, end));
          text = text.slice(end + 2);
        }
      }
      this.lost(stream, new Error('The service ended the event stream'));
    } catch (error) {
      this.lost(stream, error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** No news where this participant itself has closed the stream. */
  private lost(stream: ClientRequest, error: Error): void {
    if (this.stream === stream) this.fail(error);
  }

  private take(block: string): void {
    const fields = new Map(
      block.split('\n').map((line): [string, string] => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon), line.slice(colon + 1).trimStart()];
      }),
    );
    this.lastEventId = fields.get('id') ?? this.lastEventId;
    // The answers to what this participant sent came as responses already.
    if (fields.get('event') === 'delta') {
      this.mailbox.put('update.delta', JSON.parse(fields.get('data') ?? '') as Answer);
    }
  }
}
