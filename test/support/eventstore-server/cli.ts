import { parseArgs } from 'node:util';
import { startEventStoreServer } from './index.js';

/** The test server as a process of its own: `npx tsx test/support/eventstore-server/cli.ts [--port N]`. */
const { values } = parseArgs({ options: { port: { type: 'string' } } });
const server = await startEventStoreServer({ port: values.port === undefined ? 0 : Number(values.port) });
process.stdout.write(`EVENTSTORE_CONNECTION_STRING=${server.connectionString}\n`);
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    void server.stop();
  });
}
