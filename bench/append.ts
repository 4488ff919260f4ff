/**
 * npm run bench:append [-- --rounds 5] [--appends 20000] [--json FILE]
 *
 * Durable appends a second of this service's adapter for EventStoreDB against the official client's `appendToStream`,
 * 512 in flight on either side, on the event store's test server: of one event, and of ten.
 */
import { type AppendComparison, runAppendContest } from './support/append-contest.js';
import { readOptions } from './support/options.js';
import { type Comparison, conclude } from './support/report.js';

const { rounds, appends, json } = readOptions({ rounds: 5, appends: 20_000 });
const { method, single, large } = await runAppendContest({ rounds, appends });

function comparisonOf({ adapter, client, ratio }: AppendComparison): Comparison {
  const [ours, theirs] = [adapter, client].map(({ name, appendsPerSecond }) => ({
    side: name,
    value: appendsPerSecond,
    unit: 'appends/s',
  }));
  if (ours === undefined || theirs === undefined) throw new Error('Both sides must have run');
  return { sides: [ours, theirs], ratio };
}

conclude({
  bench: 'append',
  method,
  comparisons: [comparisonOf(single), { name: 'ten events an append', ...comparisonOf(large) }],
  details: { single, large },
  json,
});
