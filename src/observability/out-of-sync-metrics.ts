import { Gauge, type Registry } from 'prom-client';
import { type ReadModelQueries } from '../application/ports/read-model.js';
import { KeptReading } from './kept-reading.js';

/** Seconds, the longest first. 0: all that are out of sync. */
const LONGER_THAN = [86_400, 3600, 900, 300, 60, 0];

type Model = Pick<ReadModelQueries, 'outOfSync'>;

/**
 * Gauges for alarms: devices that are out of sync, by how long. They are read from the read model when they are asked
 * for; where it cannot be read, or not soon, they have no value, and neither where there is none.
 */
export class OutOfSyncMetrics {
  private readonly devices: Gauge<'longer_than'>;
  private readonly oldest: Gauge;
  private reading: KeptReading | null = null;

  constructor(
    registry: Registry,
    private readonly clock: () => number = Date.now,
  ) {
    const registers = [registry];
    // Both gauges ask, and get one answer.
    const refresh = async (): Promise<void> => this.reading?.refresh();
    this.devices = new Gauge({
      name: 'replica_out_of_sync_devices',
      help: 'Devices that have been out of sync for longer than so many seconds',
      labelNames: ['longer_than'],
      registers,
      collect: refresh,
    });
    this.oldest = new Gauge({
      name: 'replica_out_of_sync_oldest_seconds',
      help: 'For how long the device has been out of sync that has been so for the longest; 0: none is',
      registers,
      collect: refresh,
    });
    this.forget();
  }

  watch(model: Model): void {
    this.reading = new KeptReading(
      () => this.readFrom(model),
      () => this.forget(),
    );
  }

  private async readFrom(model: Model): Promise<void> {
    const now = this.clock();
    const bounds = LONGER_THAN.filter((seconds) => seconds > 0).map((seconds) => now - seconds * 1000 - 1);
    const { counts, oldest } = await model.outOfSync({ bounds, oldestCount: 1 });
    let devices = 0;
    for (const [index, seconds] of LONGER_THAN.entries()) {
      devices += counts[index] ?? 0;
      this.devices.set({ longer_than: String(seconds) }, devices);
    }
    const since = oldest[0]?.since ?? now;
    this.oldest.set(Math.max(0, now - since) / 1000);
  }

  /** A gauge without labels is 0 from the start and after a reset, which would say that all is well. */
  private forget(): void {
    this.devices.reset();
    this.oldest.remove();
  }
}
