import { type Logger } from 'pino';
import { Counter, type Registry } from 'prom-client';
import { type Edge, type Limit, type LimitObserver } from '../application/ports/limit-observer.js';

/** How often at most it is told, for each edge and limit, that it was reached. */
const LOG_MS = 10_000;

/** Counts who was limited, and logs it now and then. */
export class LimitMetrics implements LimitObserver {
  private readonly refusals: Counter<'edge' | 'limit'>;
  private readonly logged = new Map<string, { at: number; silentCount: number }>();

  constructor(
    registry: Registry,
    private readonly logger: Logger,
    private readonly clock: () => number = () => performance.now(),
  ) {
    this.refusals = new Counter({
      name: 'replica_limited_total',
      help: 'Requests, packets, messages and connections that were refused, held up, dropped or cut by a limit',
      labelNames: ['edge', 'limit'],
      registers: [registry],
    });
  }

  limited(edge: Edge, limit: Limit, who: string): void {
    this.refusals.inc({ edge, limit });
    const key = `${edge} ${limit}`;
    const before = this.logged.get(key);
    const now = this.clock();
    if (before !== undefined && now - before.at < LOG_MS) {
      before.silentCount++;
      return;
    }
    this.logged.set(key, { at: now, silentCount: 0 });
    const fields = { edge, limit, who: who.slice(0, 300), othersSinceLastLine: before?.silentCount ?? 0 };
    this.logger.warn(fields, 'A limit was reached');
  }
}
