import { afterAll } from '@jest/globals';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { until } from './http.js';

export interface MqttMessage {
  readonly topic: string;
  readonly text: string;
  readonly retain: boolean;
}

const peers = new Set<MqttPeer>();

// A client that a failed test left would connect again and again, into other suites.
afterAll(() => {
  for (const { client } of peers) client.end(true);
});

/** What a client was sent. */
export class Received {
  readonly got: MqttMessage[] = [];

  /** Waits for so many messages of a topic, and gives them. */
  async has(count: number, topic: string): Promise<Record<string, unknown>[]> {
    await until(
      `${count} of ${topic}, there are ${JSON.stringify(this.got.map((one) => one.topic))}`,
      () => this.of(topic).length >= count,
    );
    return this.of(topic);
  }

  of(topic: string): Record<string, unknown>[] {
    const messages = this.got.filter((message) => message.topic === topic);
    return messages.map(({ text }) => JSON.parse(text) as Record<string, unknown>);
  }
}

/** A device or component that speaks MQTT, 3.1.1 where nothing else is asked for. */
export class MqttPeer extends Received {
  private constructor(readonly client: MqttClient) {
    super();
    client.on('message', (topic, payload, { retain }) =>
      this.got.push({ topic, text: payload.toString(), retain }),
    );
    client.on('error', () => undefined);
  }

  /** Resolves once it is connected. */
  static async connect(address: string, options: IClientOptions = {}): Promise<MqttPeer> {
    const client = mqtt.connect(`mqtt://${address}`, {
      protocolVersion: 4,
      reconnectPeriod: 200,
      ...options,
    });
    const peer = new MqttPeer(client);
    peers.add(peer);
    await until('an MQTT connection', () => client.connected);
    return peer;
  }

  /** Publishes at QoS 1, and resolves when it is acknowledged. */
  async send(topic: string, body: object | string): Promise<void> {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    await this.client.publishAsync(topic, text, { qos: 1 });
  }

  /** Leaves, with DISCONNECT or as a connection that breaks does. */
  async leave(isForced = false): Promise<void> {
    await this.client.endAsync(isForced);
  }
}

/** How a CONNECT is answered: the return code; 0: it was let in. Text: the connection failed before, and why. */
export async function answerToConnect(address: string, options: IClientOptions): Promise<number | string> {
  const client = mqtt.connect(`mqtt://${address}`, { protocolVersion: 4, reconnectPeriod: 0, ...options });
  try {
    return await new Promise<number | string>((resolve) => {
      client.once('connect', () => resolve(0));
      client.once('error', (error) => resolve((error as { code?: number | string }).code ?? error.message));
      client.once('close', () => resolve('closed'));
    });
  } finally {
    client.end(true);
  }
}
