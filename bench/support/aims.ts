/** A row of the table in docs/performance.md. */
export interface Aim {
  readonly bench: string;
  /** Which of the bench's comparisons; absent: the main one. */
  readonly comparison?: string;
  readonly what: string;
  /** Whether the ratio has to be at least, or at most, what it must be. */
  readonly bound: 'at least' | 'at most';
  readonly must: number;
  readonly aim: number;
}

const atLeast = { bound: 'at least' } as const;
const atMost = { bound: 'at most' } as const;

/** All that is measured, in the table's order. */
export const AIMS: readonly Aim[] = [
  { bench: 'throughput', what: 'commands/s, bare kafkajs program', ...atLeast, must: 0.55, aim: 0.75 },
  { bench: 'eventstore', what: 'the same with the event store', ...atLeast, must: 0.35, aim: 0.5 },
  { bench: 'append', what: 'appends/s, official client', ...atLeast, must: 1.5, aim: 3 },
  { bench: 'naive', what: 'commands/s, plain Nest service', ...atLeast, must: 8, aim: 15 },
  { bench: 'latency', what: '99 % of update to accepted, bare program', ...atMost, must: 3, aim: 2 },
  { bench: 'rebuild', what: 'events/s of a rebuild, of just reading', ...atLeast, must: 0.5, aim: 0.8 },
  { bench: 'read', what: 'GET /state/{id}, bare node:http', ...atLeast, must: 0.7, aim: 0.95 },
  { bench: 'memory', what: 'resident bytes of a hot device, its state', ...atMost, must: 4, aim: 2 },
  {
    bench: 'memory',
    comparison: 'growth beyond the cache',
    what: 'resident with five times the devices',
    ...atMost,
    must: 1.2,
    aim: 1.1,
  },
  { bench: 'poison', what: 'commands/s, 1 % bad and none', ...atLeast, must: 0.95, aim: 0.98 },
  { bench: 'idle', what: 'CPU time idle, bare program', ...atMost, must: 0.5, aim: 0.25 },
  { bench: 'streams', what: 'commands/s, Kafka Streams', ...atLeast, must: 0.5, aim: 1 },
  {
    bench: 'streams',
    comparison: 'by CPU time',
    what: 'CPU time a command, Kafka Streams by service',
    ...atLeast,
    must: 0.5,
    aim: 1,
  },
];
