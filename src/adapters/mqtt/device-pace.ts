import { type Client } from 'aedes';
import { setTimeout as pause } from 'node:timers/promises';
import { type Rates } from '../../application/access/rates.js';
import { type LimitObserver } from '../../application/ports/limit-observer.js';
import { deviceOfReplica } from '../../replica/limits.js';

/**
 * Bounds how many commands a second each device is sent. On its own connection, whose client id is the device's id, what
 * is too much waits, which nobody else does for it; anybody else's is refused, since those of other devices would wait
 * behind it.
 */
export class DevicePace {
  /** What waits on each connection: its commands keep their order. */
  private readonly tails = new Map<Client, Promise<void>>();

  /** @param rates null: without bounds */
  constructor(
    private readonly rates: Rates | null,
    private readonly observer: LimitObserver,
  ) {}

  /**
   * Sends a command, now or when it is its turn.
   *
   * @returns false: it is refused, and not sent
   */
  send(client: Client | null, replicaId: string, send: () => void): boolean {
    const { rates } = this;
    if (rates !== null) {
      const device = deviceOfReplica(replicaId);
      const waitMs = client?.id === device ? rates.reserve(device) : rates.take(device);
      if (waitMs > 0) this.observer.limited('mqtt', 'device-rate', device);
      if (client?.id !== device) {
        if (waitMs > 0) return false;
      } else if (waitMs > 0 || this.tails.has(client)) {
        this.sendLater(client, waitMs, send);
        return true;
      }
    }
    send();
    return true;
  }

  private sendLater(client: Client, waitMs: number, send: () => void): void {
    const tail = Promise.all([this.tails.get(client), pause(waitMs, undefined, { ref: false })]).then(() => {
      if (this.tails.get(client) === tail) this.tails.delete(client);
      send();
    });
    this.tails.set(client, tail);
  }
}
