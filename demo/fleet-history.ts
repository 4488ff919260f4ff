/**
 * Makes a folder with six days of a small fleet's history, for docs/analysts.md: the requests of fleet-story.ts, decided
 * and recorded by the service's own use cases, under a clock that shows the time of each. Then `DATA_DIR` may be that
 * folder, for the commands of the page or for the service.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { DeviceLocks } from '../src/application/device-locks.js';
import { Outputs } from '../src/application/outputs.js';
import { type CommandMessage } from '../src/application/ports/bus.js';
import { ProcessCommands } from '../src/application/process-commands.js';
import { Replicas } from '../src/application/replicas.js';
import { Metrics } from '../src/observability/metrics.js';
import { openEventStore } from '../src/open-event-store.js';
import { DEFAULT_LIMITS } from '../src/replica/limits.js';
import { fleetStory, type Request } from './fleet-story.js';

const { values } = parseArgs({ options: { 'data-dir': { type: 'string', default: 'demo-data' } } });
const dataDir = values['data-dir'];

async function main(): Promise<void> {
  if (existsSync(join(dataDir, 'events.db'))) {
    throw new Error(`${dataDir} has a store already; remove it, or give another folder with --data-dir`);
  }
  let now = 0;
  const clock = (): number => now;
  const store = openEventStore({ kind: 'sqlite', dataDir }, { clock });
  const observer = new Metrics(pino({ level: 'silent' }));
  const commands = new ProcessCommands({
    store,
    replicas: new Replicas(store, observer, 16 * 1024 * 1024),
    locks: new DeviceLocks(),
    outputs: new Outputs({ source: '/device-state-replica', typePrefix: 'state', mayReplyTo: () => false }),
    // Nobody listens; that something is refused must not pass unnoticed.
    bus: {
      publish: async (messages) => {
        const refused = messages.find(({ channel }) => /rejected|dead-letter/.test(channel));
        if (refused !== undefined) throw new Error(`Refused: ${refused.value?.toString()}`);
      },
    },
    clock,
    observer,
    options: { limits: DEFAULT_LIMITS, unchangedUpdates: 'record', publishDocuments: false },
  });
  const story = fleetStory();
  const offsets = { update: 0, delete: 0 };
  try {
    for (const request of story) {
      now = request.at;
      const message = messageOf(request, offsets[request.kind]++);
      await commands.process({
        channel: request.kind,
        messages: [message],
        keepAlive: async () => undefined,
        isCurrent: () => true,
        isConfirmed: () => true,
        confirm: async () => undefined,
      });
    }
  } finally {
    await store.close();
  }
  process.stdout.write(`Recorded: ${story.length} requests of six days in ${dataDir}\n`);
}

function messageOf({ at, deviceId, kind, body }: Request, offset: number): CommandMessage {
  return {
    channel: kind,
    key: Buffer.from(deviceId),
    value: Buffer.from(JSON.stringify(body)),
    headers: {},
    position: { topic: `state.${kind}`, partition: 0, offset, timestamp: at, log: 'fleet-story' },
  };
}

main().catch((error: unknown) => {
  process.stderr.write(`demo:history: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
