import { type Refusal } from '../replica/commands.js';
import { rejectedDocument } from '../replica/documents.js';
import { type Response } from '../replica/respond.js';
import { headerText, headerValue } from './incoming.js';
import { CORRELATION_ID, ECHOED, NEST_ERROR, REPLY_PARTITION, REPLY_TOPIC } from './reply-headers.js';
import {
  type CommandMessage,
  type OutputChannel,
  type OutputMessage,
  type ReplyMessage,
  type SourcePosition,
} from './ports/bus.js';

export type Message = OutputMessage | ReplyMessage;

const NEST_DISPOSED = 'kafka_nest-is-disposed';

export interface OutputOptions {
  /** CloudEvents `source`. Default `/device-state-replica`. */
  readonly source: string;
  /** Prefix of CloudEvents types, such as `state`. */
  readonly typePrefix: string;
  /** False for a topic that replies must not be sent to: this service's own. */
  readonly mayReplyTo: (topic: string) => boolean;
}

/** What the headers of all outputs of one command have in common. */
interface Common {
  readonly time: string;
  readonly echo: Readonly<Record<string, string | Buffer>>;
}

/** Builds the messages that commands send out. */
export class Outputs {
  private lastTime = -1;
  private lastTimeText = '';

  constructor(private readonly options: OutputOptions) {}

  /** accepted, delta and documents of one command, and its reply. */
  accepted(into: Message[], message: CommandMessage, deviceId: string, id: string, response: Response): void {
    const headers = this.common(message, response.timestamp);
    const { channel } = message;
    this.push(into, `${channel}.accepted`, deviceId, id, response.accepted, headers);
    if (response.delta !== undefined) this.push(into, 'update.delta', deviceId, id, response.delta, headers);
    if (response.documents !== undefined) {
      this.push(into, 'update.documents', deviceId, id, response.documents, headers);
    }
    this.reply(into, message, deviceId, response.accepted, false);
  }

  rejected(
    into: Message[],
    message: CommandMessage,
    deviceId: string,
    id: string,
    refusal: Refusal,
    timestamp: number,
    clientToken: string | undefined,
  ): void {
    const document = rejectedDocument(refusal, timestamp, clientToken);
    const headers = this.common(message, timestamp);
    this.push(into, `${message.channel}.rejected`, deviceId, id, document, headers);
    this.reply(into, message, deviceId, document, true);
  }

  /** The raw bytes, with the reason and the place in headers. */
  deadLetter(into: Message[], message: CommandMessage, reason: string): void {
    const { topic, partition, offset } = message.position;
    into.push({
      channel: 'dead-letter',
      key: message.key,
      value: message.value,
      headers: {
        ...echoed(message),
        reason,
        'source-topic': topic,
        'source-partition': String(partition),
        'source-offset': String(offset),
      },
    });
    const document = rejectedDocument({ code: 400, message: reason }, message.position.timestamp);
    this.reply(into, message, null, document, true);
  }

  private push(
    into: Message[],
    channel: OutputChannel,
    deviceId: string,
    id: string,
    value: string | null,
    { time, echo }: Common,
  ): void {
    // A literal of its own, not a spread of what is common: engines make one of known members much sooner.
    const headers: Record<string, string | Buffer> = {
      ce_specversion: '1.0',
      ce_source: this.options.source,
      ce_subject: deviceId,
      ce_time: time,
      'content-type': 'application/json',
      ce_id: `${id}:${channel}`,
      ce_type: `${this.options.typePrefix}.${channel}`,
    };
    for (const name in echo) headers[name] = echo[name] as string | Buffer;
    into.push({ channel, key: deviceId, value, headers });
  }

  private common(message: CommandMessage, timestamp: number): Common {
    return { time: this.timeText(timestamp), echo: echoed(message) };
  }

  private reply(
    into: Message[],
    message: CommandMessage,
    key: string | null,
    value: string,
    isError: boolean,
  ): void {
    const topic = headerText(message.headers, REPLY_TOPIC);
    const correlationId = headerValue(message.headers, CORRELATION_ID);
    if (topic === undefined || correlationId === undefined || !this.options.mayReplyTo(topic)) return;
    const partition = headerText(message.headers, REPLY_PARTITION);
    into.push({
      channel: 'reply',
      topic,
      partition: partition !== undefined && /^\d{1,6}$/.test(partition) ? Number(partition) : null,
      key,
      value,
      headers: {
        ...echoed(message),
        [CORRELATION_ID]: correlationId,
        [NEST_DISPOSED]: 'true',
        ...(isError ? { [NEST_ERROR]: value } : {}),
        'content-type': 'application/json',
      },
    });
  }

  private timeText(timestamp: number): string {
    if (timestamp !== this.lastTime) {
      this.lastTime = timestamp;
      this.lastTimeText = timeText(timestamp);
    }
    return this.lastTimeText;
  }
}

/** RFC 3339; a record timestamp outside what dates can show, which only a producer can set, shows the epoch. */
function timeText(timestamp: number): string {
  const date = new Date(timestamp);
  return Number.isNaN(date.getTime()) ? new Date(0).toISOString() : date.toISOString();
}

function echoed(message: CommandMessage): Record<string, string | Buffer> {
  const headers: Record<string, string | Buffer> = {};
  for (const name of ECHOED) {
    const value = headerValue(message.headers, name);
    if (value !== undefined) headers[name] = value;
  }
  return headers;
}

/** The last moment of JavaScript's dates; a producer may write any time into its records. */
const LAST_DATE_MS = 8_640_000_000_000_000;

/**
 * The time of a refusal: that of its record, whatever this process's clock says, so that it is the same when the record is
 * read again; but never before the device's last event, and one that a date can show.
 */
export function refusalTime(position: SourcePosition, lastEvent: number): number {
  return Math.max(Math.min(position.timestamp, LAST_DATE_MS), lastEvent, 0);
}
