import { Gauge, type Registry } from 'prom-client';
import { type ReadModelQueries } from '../application/ports/read-model.js';
import { KeptReading } from './kept-reading.js';

type Model = Pick<ReadModelQueries, 'connectedCount'>;

/** How many devices are connected. Where the read model cannot be read, or not soon, or there is none, the gauge has no value. */
export class PresenceMetrics {
  private readonly devices: Gauge;
  private reading: KeptReading | null = null;

  constructor(registry: Registry) {
    this.devices = new Gauge({
      name: 'replica_connected_devices',
      help: 'Devices that are connected, to any instance or to the MQTT broker of MQTT_URL',
      registers: [registry],
      collect: async () => this.reading?.refresh(),
    });
    this.devices.remove();
  }

  watch(model: Model): void {
    this.reading = new KeptReading(
      async () => this.devices.set(await model.connectedCount()),
      () => this.devices.remove(),
    );
  }
}
