import { Gauge, type Registry } from 'prom-client';
import { type ReadModelQueries } from '../application/ports/read-model.js';

/** What was read is shown again for so long: how often it is asked for must not matter. */
const KEPT_MS = 5000;

type Model = Pick<ReadModelQueries, 'connectedCount'>;

/** How many devices are connected. Where the read model cannot be read, or there is none, the gauge has no value. */
export class PresenceMetrics {
  private readonly devices: Gauge;
  private model: Model | null = null;
  private readAt = -Infinity;

  constructor(registry: Registry) {
    const refresh = (): Promise<void> => this.refresh();
    this.devices = new Gauge({
      name: 'replica_connected_devices',
      help: 'Devices that are connected, to any instance or to the MQTT broker of MQTT_URL',
      registers: [registry],
      collect: refresh,
    });
    this.devices.remove();
  }

  watch(model: Model): void {
    this.model = model;
  }

  private async refresh(): Promise<void> {
    if (this.model === null || performance.now() - this.readAt < KEPT_MS) return;
    this.readAt = performance.now();
    try {
      this.devices.set(await this.model.connectedCount());
    } catch {
      // Who keeps the read model tells of its failures.
      this.devices.remove();
    }
  }
}
