import { type RestClient } from './http.js';

/** What a service says of itself at one moment. */
export interface ServiceSample {
  /** Status of `/health/ready`. */
  readonly ready: number;
  /** Status of `/health/live`. */
  readonly live: number;
  /** Why what is down is down, by its name (`bus`, `eventStore`, `readModel`). */
  readonly reasons: Readonly<Record<string, string>>;
  /** All of `/metrics`. */
  readonly metrics: string;
  readonly residentBytes: number;
}

interface Health {
  readonly details?: Readonly<Record<string, { readonly reason?: string }>>;
}

export async function sampleOf(rest: RestClient): Promise<ServiceSample> {
  const [ready, live, metrics] = await Promise.all([
    rest.get('/health/ready'),
    rest.get('/health/live'),
    rest.get('/metrics'),
  ]);
  const { details = {} } = ready.body as Health;
  const reasons = Object.entries(details).flatMap(([name, { reason }]) =>
    reason === undefined ? [] : [[name, reason] as const],
  );
  return {
    ready: ready.status,
    live: live.status,
    reasons: Object.fromEntries(reasons),
    metrics: metrics.text,
    residentBytes: metricOf(metrics.text, 'process_resident_memory_bytes'),
  };
}

/** The sum of a metric over all its labels; 0 where it has no value. */
export function metricOf(metrics: string, name: string): number {
  const lines = metrics.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'));
  return [...lines].reduce((sum, [, value]) => sum + Number(value), 0);
}
