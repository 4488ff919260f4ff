import { type Client, type PublishPacket } from 'aedes';
import { type MqttObserver } from '../../application/ports/mqtt-observer.js';
import { type CurrentDeltas } from './current-deltas.js';
import { type Dialect, firstOf } from './topics.js';

/** Sends clients that begin to listen to one device's delta what is outstanding there. */
export class DeltasOnReturn {
  /** By client: filters whose deltas are sent for its session, or for its SUBSCRIBE, and need not be for the other. */
  private readonly served = new WeakMap<Client, Set<string>>();

  constructor(
    private readonly dialects: readonly Dialect[],
    private readonly deltas: CurrentDeltas,
    private readonly observer: Pick<MqttObserver, 'mqttFailed'>,
  ) {}

  /** To be called for each SUBSCRIBE, which may come sooner than {@link resumed}. Resolves when what it asks for was read. */
  async subscribed(client: Client, filter: string): Promise<void> {
    await this.serve(client, filter, !client.connected && !client.clean);
  }

  /** To be called for a session that is taken up again, with what it had subscribed to. */
  resumed(client: Client, filters: Iterable<string>): void {
    for (const filter of filters) void this.serve(client, filter, true);
  }

  /** @param isFirst whether the same may be asked for once more, by the client's session or by its SUBSCRIBE */
  private async serve(client: Client, filter: string, isFirst: boolean): Promise<void> {
    const served = this.served.get(client) ?? new Set();
    this.served.set(client, served);
    if (served.delete(filter)) return;
    if (isFirst) served.add(filter);
    await this.send(client, filter);
  }

  /** Nothing where a delta comes by meanwhile, which is as late or later. */
  private async send(client: Client, filter: string): Promise<void> {
    const asked = firstOf(this.dialects, (dialect) => {
      const deviceId = dialect.deltaDeviceOf(filter);
      return deviceId === null ? null : { dialect, deviceId };
    });
    if (asked === null) return;
    const { dialect, deviceId } = asked;
    try {
      const delta = await this.deltas.read(deviceId);
      if (delta === 'late' || delta.document === null || client.closed) return;
      const shown = dialect.documentOf('update.delta', deviceId, delta.document);
      if (shown === null) return;
      client.publish(messageOf(dialect.outputTopic('update.delta', deviceId), shown), () => undefined);
    } catch (error) {
      // It would wait for what nobody sends; when it comes back it is tried again.
      this.observer.mqttFailed(client.id, error);
      client.close();
    }
  }
}

/** A document as clients are sent it. */
export function messageOf(topic: string, document: string | Buffer): PublishPacket {
  return { cmd: 'publish', topic, payload: Buffer.from(document), qos: 1, retain: false, dup: false };
}
