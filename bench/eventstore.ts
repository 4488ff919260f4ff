/**
 * npm run bench:eventstore [-- --json FILE] [--only adapter|service] [--rounds 5] [--appends 20000] [--commands 40000]
 *   [--unit 500]
 *
 * Against the event store's test server, which is on one core with the broker while what is measured has the other:
 * appends a second of this service's adapter against those of the plain client; and commands a second of the service
 * (Kafka in, event store, Kafka out) against the bare kafkajs program of `bench:throughput`.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type AppendContest, runAppendContest } from './support/append-contest.js';
import { end } from './support/children.js';
import { type CommandContest, runCommandContest } from './support/command-contest.js';
import { machine } from './support/machine.js';
import { startStoreServer } from './support/store-server.js';

const { values: options } = parseArgs({
  options: {
    json: { type: 'string' },
    only: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    appends: { type: 'string', default: '20000' },
    commands: { type: 'string', default: '40000' },
    unit: { type: 'string', default: '500' },
  },
});
const { only } = options;
if (only !== undefined && only !== 'adapter' && only !== 'service')
  throw new Error('--only must be adapter or service');
const rounds = Number(options.rounds);

async function measureService(): Promise<CommandContest> {
  const server = await startStoreServer();
  try {
    return await runCommandContest({
      rounds,
      commands: Number(options.commands),
      unit: options.unit,
      serviceEnv: { EVENTSTORE_CONNECTION_STRING: server.connectionString },
      storePid: server.process.pid,
    });
  } finally {
    await end(server.process);
  }
}

console.log(`machine: ${machine()}`);
let adapter: AppendContest | undefined;
let service: CommandContest | undefined;
if (only !== 'service') adapter = await runAppendContest({ rounds, appends: Number(options.appends) });
if (only !== 'adapter') service = await measureService();
if (options.json !== undefined) {
  const figures = { bench: 'eventstore', machine: machine(), adapter, service };
  writeFileSync(options.json, `${JSON.stringify(figures, null, 2)}\n`);
}
if (adapter !== undefined) {
  const { single, large } = adapter;
  console.log(`ratio adapter, ${large.eventsPerAppend} events an append: ${large.ratio.toFixed(2)}`);
  console.log(`ratio adapter: ${single.ratio.toFixed(2)}`);
}
if (service !== undefined) console.log(`ratio service: ${service.ratio.toFixed(2)}`);
