import { type ChildProcess } from 'node:child_process';
import { untilLine } from './children.js';
import { NODE_FLAGS, OTHER_CORE, spawnPinned } from './machine.js';

export interface StoreServer {
  readonly process: ChildProcess;
  readonly connectionString: string;
}

/** The event store's test server, empty, as a process of its own on the other core. */
export async function startStoreServer(): Promise<StoreServer> {
  const cli = 'test/support/eventstore-server/cli.ts';
  const child = spawnPinned(OTHER_CORE, process.execPath, [...NODE_FLAGS, '--import', 'tsx', cli], {});
  const variable = 'EVENTSTORE_CONNECTION_STRING=';
  const line = await untilLine(child, (text) => text.startsWith(variable));
  return { process: child, connectionString: line.slice(variable.length) };
}
