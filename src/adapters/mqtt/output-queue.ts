import { type IClientPublishOptions, type MqttClient } from 'mqtt';
import { type MqttObserver } from '../../application/ports/mqtt-observer.js';

/** What may wait for the broker, while it is away or slow. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;
/** So many publishes may be unacknowledged, where the broker does not say that it takes fewer. */
const MAX_UNACKNOWLEDGED_COUNT = 1000;
/** Of a packet beside topic, payload and correlation data. */
const PACKET_BYTES = 64;
/** So many that were sent may stand before the first that was not. */
const COMPACT_COUNT = 1000;

export interface BrokerOutput {
  readonly topic: string;
  readonly payload: string | Buffer;
  /** Whether it stands for those who subscribe later. Default: no. */
  readonly retain?: boolean;
  readonly correlation?: Buffer | undefined;
  /** User properties, at least one, where the broker speaks MQTT 5. */
  readonly echo?: Record<string, string> | undefined;
  /** Takes away what is retained: see {@link OutputQueue}. Default: no. */
  readonly clears?: boolean;
}

interface Waiting {
  readonly output: BrokerOutput;
  readonly bytes: number;
  readonly done: (isTold: boolean) => void;
}

type Broker = Pick<MqttClient, 'connected' | 'options' | 'publish'> & {
  readonly serverProperties?: MqttClient['serverProperties'];
};

/**
 * Publishes at QoS 1, in order, no more at once than the broker takes, and keeps what waits while it is away. What is
 * beyond the bound of that is dropped.
 *
 * What is retained is taken away, in MQTT 5, by the same document retained for a second, so that a device never gets a
 * message that is none; in 3.1.1, which knows no such thing, by an empty message.
 */
export class OutputQueue {
  private waiting: Waiting[] = [];
  /** The first that was not sent. */
  private head = 0;
  private waitingBytes = 0;
  private unacknowledged = 0;
  private idle: (() => void)[] = [];

  constructor(
    private readonly broker: Broker,
    private readonly observer: Pick<MqttObserver, 'mqttOutputDropped'>,
  ) {}

  /** Publishes that the broker has not acknowledged. */
  get count(): number {
    return this.waiting.length - this.head + this.unacknowledged;
  }

  /** Resolves with true when the broker has it, with false where it is dropped or refused. */
  publish(output: BrokerOutput): Promise<boolean> {
    const bytes =
      output.topic.length + output.payload.length + (output.correlation?.length ?? 0) + PACKET_BYTES;
    if (this.waitingBytes + bytes > MAX_WAITING_BYTES) {
      this.observer.mqttOutputDropped(output.topic);
      return Promise.resolve(false);
    }
    this.waitingBytes += bytes;
    return new Promise((done) => {
      this.waiting.push({ output, bytes, done });
      this.work();
    });
  }

  /** Resolves when nothing waits. */
  drained(): Promise<void> {
    if (this.count === 0) return Promise.resolve();
    return new Promise((resolve) => this.idle.push(resolve));
  }

  /** To be called when the broker is there again. */
  work(): void {
    while (this.broker.connected && this.unacknowledged < this.limit()) {
      const one = this.waiting[this.head];
      if (one === undefined) break;
      this.head++;
      this.unacknowledged++;
      this.send(one);
    }
    if (this.head < COMPACT_COUNT && this.head < this.waiting.length) return;
    this.waiting = this.waiting.slice(this.head);
    this.head = 0;
  }

  private limit(): number {
    return Math.min(this.broker.serverProperties?.receiveMaximum ?? Infinity, MAX_UNACKNOWLEDGED_COUNT);
  }

  private send({ output, bytes, done }: Waiting): void {
    const end = (isTold: boolean): void => {
      this.waitingBytes -= bytes;
      this.unacknowledged--;
      done(isTold);
      this.work();
      if (this.count === 0) for (const resolve of this.idle.splice(0)) resolve();
    };
    const limits = this.broker.serverProperties;
    const isTooLarge = bytes + output.topic.length > (limits?.maximumPacketSize ?? Infinity);
    const isUseless = output.clears === true && limits?.retainAvailable === false;
    if (isTooLarge || isUseless) {
      if (isTooLarge) this.observer.mqttOutputDropped(output.topic);
      // Not within the loop that called.
      queueMicrotask(() => end(isUseless));
      return;
    }
    const isVersion5 = this.broker.options.protocolVersion === 5;
    const properties: NonNullable<IClientPublishOptions['properties']> = {};
    if (output.clears === true) properties.messageExpiryInterval = 1;
    if (output.correlation !== undefined) properties.correlationData = output.correlation;
    if (output.echo !== undefined) properties.userProperties = output.echo;
    const payload = output.clears === true && !isVersion5 ? '' : output.payload;
    const retain = (output.retain === true || output.clears === true) && limits?.retainAvailable !== false;
    const options: IClientPublishOptions = { qos: 1, retain, ...(isVersion5 ? { properties } : {}) };
    this.broker.publish(output.topic, payload, options, (error) => {
      // Refused by the broker's rules: sent again it would be refused again.
      if (error) this.observer.mqttOutputDropped(output.topic);
      end(!error);
    });
  }
}
