import { createHash, randomUUID } from 'node:crypto';
import { type IPublishPacket } from 'mqtt';
import { type Bus, type Reply } from '../../application/ports/bus.js';
import { type MqttObserver } from '../../application/ports/mqtt-observer.js';
import { pause } from '../../application/timing.js';
import { HeldAcks } from './held-acks.js';
import { type CommandTopic, type Dialect, firstOf } from './topics.js';

/**
 * So many commands of the broker are on their way at once; it is read no further beyond. A broker that was told so sends
 * no more, and is always read, so that what it acknowledges is not held up by what it sends.
 */
export const MAX_IN_FLIGHT_COUNT = 500;

/** User properties of MQTT 5 that are what the headers of these names are on Kafka. */
const HEADERS = ['message-id', 'if-match', 'correlation-id', 'traceparent'] as const;

/** One connection to the broker. */
export interface Link {
  /** False: the connection is over. */
  write(bytes: Buffer): boolean;
  /** Breaks it, so that the broker sends again what was not acknowledged. */
  break(): void;
  /** It is alive, although it is not read, so that no sign of life can be seen. */
  keepAlive(): void;
}

interface Current {
  readonly link: Link;
  readonly acks: HeldAcks;
  /** A command of it has no answer: nothing more is taken, so that what comes again is in its order. */
  isOver: boolean;
}

/** A command, and the dialect that it came in. */
interface Taken extends CommandTopic {
  readonly dialect: Dialect;
}

interface Delivery {
  /** Of topic and payload. */
  readonly print: string;
  readonly messageId: string;
  /** Whether it has its answer; never rejects. */
  readonly outcome: Promise<boolean>;
}

export interface BrokerCommandsDependencies {
  readonly bus: Pick<Bus, 'request'>;
  readonly dialects: readonly Dialect[];
  readonly observer: MqttObserver;
  /** Sends an answer to where its command asks for it. */
  readonly respond: (topic: string, correlation: Buffer | undefined, document: string | Buffer) => void;
  /** Whether a command that bears no id is given one, by which it is known when it is sent again after it got no answer. */
  readonly hasMessageIds: boolean;
}

/**
 * Takes commands that a broker delivers. Those of one device go in one after the other, those of different devices
 * together; each is acknowledged when it has its answer. Where one gets none, the connection is broken, and the broker
 * sends again what was not acknowledged. What has its answer by then is acknowledged without being done again.
 */
export class BrokerCommands {
  private current: Current | null = null;
  /** By packet id: what this process has not acknowledged. */
  private readonly known = new Map<number, Delivery>();
  private readonly tails = new Map<string, Promise<boolean>>();
  private inFlight = 0;
  private paused: (() => void)[] = [];
  private isClosing = false;

  constructor(private readonly dependencies: BrokerCommandsDependencies) {}

  /** @param isSessionKept false: the broker knows nothing of what it sent before, and its packet ids begin anew */
  begin(link: Link, isSessionKept: boolean): void {
    if (!isSessionKept) this.known.clear();
    this.current = { link, acks: new HeldAcks((bytes) => link.write(bytes)), isOver: false };
  }

  end(): void {
    if (this.current !== null) this.current.isOver = true;
    this.current = null;
  }

  /** @param next to be called when the next packet may be read */
  take(packet: IPublishPacket, next: () => void): void {
    const { current } = this;
    if (current === null || this.isClosing) return next();
    const { dialects, observer } = this.dependencies;
    // What is retained was said at some time, to nobody in particular: it is no command of now.
    const command = packet.retain ? null : commandIn(dialects, packet.topic);
    if (command === null) {
      observer.mqttPublished('refused');
      observer.mqttRefused(null, packet.topic);
      if (packet.qos === 1) current.acks.hold(packet.messageId ?? 0, () => undefined)();
      return next();
    }
    const delivery = this.deliver(command, packet, current);
    const acknowledge = this.hold(packet, delivery, current);
    this.inFlight++;
    void delivery.outcome.then((hasAnswer) => {
      this.inFlight--;
      if (hasAnswer) acknowledge();
      else if (packet.qos === 1 && !current.isOver) {
        current.isOver = true;
        if (!this.isClosing) current.link.break();
      }
      const resume = this.paused.shift();
      if (resume === undefined) return;
      current.link.keepAlive();
      resume();
    });
    if (this.inFlight <= MAX_IN_FLIGHT_COUNT) next();
    else this.paused.push(next);
  }

  /** Takes no more; resolves when what is on its way has its answer, or after so long. */
  async close(withinMs: number): Promise<void> {
    this.isClosing = true;
    const deadline = performance.now() + withinMs;
    while (this.inFlight > 0 && performance.now() < deadline) await pause(10);
    // The acknowledgements are written one turn later.
    await new Promise((resolve) => setImmediate(resolve));
  }

  private hold(packet: IPublishPacket, delivery: Delivery, current: Current): () => void {
    const { messageId } = packet;
    if (packet.qos !== 1 || messageId === undefined) return () => undefined;
    this.known.set(messageId, delivery);
    return current.acks.hold(messageId, () => {
      if (this.known.get(messageId) === delivery) this.known.delete(messageId);
    });
  }

  private deliver(command: Taken, packet: IPublishPacket, current: Current): Delivery {
    const print = createHash('sha256')
      .update(packet.topic)
      .update('\0')
      .update(packet.payload)
      .digest('base64');
    const before = packet.dup && packet.qos === 1 ? this.known.get(packet.messageId ?? 0) : undefined;
    const earlier = before?.print === print ? before : undefined;
    const messageId = earlier?.messageId ?? randomUUID();
    const outcome = this.inTurn(command.deviceId, async () => {
      if (earlier !== undefined && (await earlier.outcome)) return true;
      return current.isOver ? false : this.ask(command, packet, messageId);
    });
    return { print, messageId, outcome };
  }

  private inTurn(deviceId: string, work: () => Promise<boolean>): Promise<boolean> {
    const tail = this.tails.get(deviceId);
    const mine = tail === undefined ? work() : tail.then(work);
    this.tails.set(deviceId, mine);
    void mine.then(() => {
      if (this.tails.get(deviceId) === mine) this.tails.delete(deviceId);
    });
    return mine;
  }

  private async ask(command: Taken, packet: IPublishPacket, messageId: string): Promise<boolean> {
    const { bus, observer, hasMessageIds, respond } = this.dependencies;
    const headers = { ...(hasMessageIds ? { 'message-id': messageId } : {}), ...headersOf(packet) };
    try {
      const payload = Buffer.from(packet.payload);
      const reply = await bus.request(command.channel, command.deviceId, payload, headers);
      observer.mqttPublished('taken');
      const { responseTopic, correlationData } = packet.properties ?? {};
      if (responseTopic !== undefined)
        respond(responseTopic, correlationData, documentOf(command, reply) ?? reply.value);
      return true;
    } catch (error) {
      observer.mqttPublished('failed');
      observer.mqttFailed(null, error);
      return false;
    }
  }
}

function commandIn(dialects: readonly Dialect[], topic: string): Taken | null {
  return firstOf(dialects, (dialect) => {
    const command = dialect.commandOf(topic);
    return command === null ? null : { ...command, dialect };
  });
}

function documentOf({ dialect, channel, deviceId }: Taken, reply: Reply): string | Buffer | null {
  return dialect.documentOf(`${channel}.${reply.accepted ? 'accepted' : 'rejected'}`, deviceId, reply.value);
}

function headersOf({ properties }: IPublishPacket): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name of HEADERS) {
    const value = properties?.userProperties?.[name];
    const first = Array.isArray(value) ? value[0] : value;
    if (first !== undefined) headers[name] = first;
  }
  return headers;
}
