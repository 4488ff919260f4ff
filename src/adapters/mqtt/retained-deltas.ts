import { type IPublishPacket, type MqttClient } from 'mqtt';
import { type BrokerOutputs } from './broker-outputs.js';
import { type Dialect } from './topics.js';

/** Where for so long no retained delta came, there are no more. */
const QUIET_MS = 2_000;

/**
 * After each connection: looks through the deltas that the broker has retained, and through the devices at which
 * something is outstanding, for those that are not the same, as after a crash or after a time without the broker.
 */
export class RetainedDeltas {
  private readonly filters: string[];
  /** By device: the version of what the broker has. Null: it is not asked. */
  private listed: Map<string, number> | null = null;
  private quiet: NodeJS.Timeout | undefined;

  constructor(
    private readonly client: MqttClient,
    private readonly dialect: Dialect,
    private readonly outputs: Pick<BrokerOutputs, 'found' | 'missing' | 'looked'>,
    private readonly outOfSync: () => AsyncIterable<{ readonly deviceId: string; readonly version: number }>,
  ) {
    this.filters = dialect.deltaFilters();
  }

  begin(): void {
    this.end();
    this.listed = new Map();
    this.wait();
    this.client.subscribeAsync(this.filters, { qos: 0, nl: true }).catch(() => undefined);
  }

  end(): void {
    clearTimeout(this.quiet);
    this.listed = null;
  }

  /** False: it is none of these. */
  take(packet: IPublishPacket): boolean {
    const deviceId = this.dialect.deltaDeviceOf(packet.topic);
    if (deviceId === null) return false;
    if (!packet.retain || this.listed === null) return true;
    this.wait();
    const version = versionOf(packet.payload.toString());
    this.listed.set(deviceId, version);
    this.outputs.found(deviceId, version);
    return true;
  }

  private wait(): void {
    clearTimeout(this.quiet);
    this.quiet = setTimeout(() => void this.listWhatIsMissing(), QUIET_MS);
  }

  private async listWhatIsMissing(): Promise<void> {
    const { listed } = this;
    if (listed === null) return;
    this.client.unsubscribeAsync(this.filters).catch(() => undefined);
    try {
      for await (const { deviceId, version } of this.outOfSync()) {
        if (this.listed !== listed) return;
        if (listed.get(deviceId) !== version) this.outputs.missing(deviceId);
      }
    } catch {
      // Lists are away, and do not hold up anything; what changes is told all the same.
    }
    if (this.listed !== listed) return;
    this.listed = null;
    this.outputs.looked();
  }
}

/** −1: it is no delta. */
function versionOf(text: string): number {
  try {
    const { version } = JSON.parse(text) as { version?: unknown };
    return typeof version === 'number' ? version : -1;
  } catch {
    return -1;
  }
}
