import { type Client } from 'aedes';
import { setTimeout as pause } from 'node:timers/promises';
import { type Rates } from '../../application/access/rates.js';
import { type LimitObserver } from '../../application/ports/limit-observer.js';
import { deviceOfReplica } from '../../replica/limits.js';

/** So many commands of a device may wait here, whatever connections they came by. */
const MAX_WAITING_COUNT = 100;

/** What waits of a device, in its order. */
interface Line {
  tail: Promise<void>;
  count: number;
}

/**
 * Bounds how many commands a second each device is sent. On its own connection, whose client id is the device's id, what
 * is too much waits, which nobody else does for it; anybody else's is refused, since those of other devices would wait
 * behind it.
 */
export class DevicePace {
  private readonly lines = new Map<string, Line>();

  /**
   * @param rates null: without bounds
   * @param onPaced is told of each command of a device's own connection whether it has to wait: where it has, no more
   *   should be read of the connection meanwhile
   */
  constructor(
    private readonly rates: Rates | null,
    private readonly observer: LimitObserver,
    private readonly onPaced: (client: Client, isPaced: boolean) => void,
  ) {}

  /** Whether something of the device waits, maybe of a connection that is over. */
  isBusy(device: string): boolean {
    return this.lines.has(device);
  }

  /**
   * Sends a command, now or when it is its turn.
   *
   * @returns false: it is refused, and not sent
   */
  send(client: Client | null, replicaId: string, send: () => void): boolean {
    const { rates } = this;
    const device = deviceOfReplica(replicaId);
    if (rates === null) send();
    else if (client?.id === device) return this.sendInTurn(rates, client, device, send);
    else if (rates.take(device) === 0) send();
    else {
      this.observer.limited('mqtt', 'device-rate', device);
      return false;
    }
    return true;
  }

  private sendInTurn(rates: Rates, client: Client, device: string, send: () => void): boolean {
    const line = this.lines.get(device);
    const isFull = line !== undefined && line.count >= MAX_WAITING_COUNT;
    const waitMs = isFull ? 0 : rates.reserve(device);
    if (isFull || waitMs > 0) this.observer.limited('mqtt', 'device-rate', device);
    const isPaced = line !== undefined || waitMs > 0;
    this.onPaced(client, isPaced);
    if (isFull) return false;
    if (isPaced) this.sendLater(device, waitMs, send);
    else send();
    return true;
  }

  private sendLater(device: string, waitMs: number, send: () => void): void {
    const line = this.lines.get(device) ?? { tail: Promise.resolve(), count: 0 };
    this.lines.set(device, line);
    line.count++;
    line.tail = Promise.all([line.tail, pause(waitMs, undefined, { ref: false })]).then(() => {
      if (--line.count === 0) this.lines.delete(device);
      send();
    });
  }
}
