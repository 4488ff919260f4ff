import { type ChildProcess } from 'node:child_process';
import { untilLine } from './children.js';
import { NODE_FLAGS, spawnPinned } from './machine.js';

export interface StoreServer {
  readonly process: ChildProcess;
  readonly connectionString: string;
}

/** The event store's test server, empty, as a process of its own on core 0. */
export async function startStoreServer(): Promise<StoreServer> {
  const cli = 'test/support/eventstore-server/cli.ts';
  const child = spawnPinned(0, process.execPath, [...NODE_FLAGS, '--import', 'tsx', cli], {});
  const variable = 'EVENTSTORE_CONNECTION_STRING=';
  const line = await untilLine(child, (text) => text.startsWith(variable));
  return { process: child, connectionString: line.slice(variable.length) };
}
