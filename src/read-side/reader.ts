import { statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type MessagePort } from 'node:worker_threads';
import {
  openSqliteReadModel,
  READ_MODEL_FILE,
  type SqliteReadModel,
} from '../adapters/read-model/sqlite/sqlite-read-model.js';
import { ReadModelError } from '../application/ports/read-model.js';
import { messageOf } from '../application/timing.js';
import { type FromReader, type Query, type ReaderData, type ToReader } from './messages.js';

/** Answers the questions that readers ask of a SQLite read model, one after the other, until it is told to stop. */
export function runReader(port: MessagePort, data: ReaderData): void {
  const connection = new ReadOnlyModel(data);
  port.on('message', (message: ToReader) => {
    if (message.kind === 'stop') {
      connection.close();
      port.close();
      return;
    }
    const { id, query } = message;
    void answer(connection, query).then((answered) => port.postMessage({ id, ...answered }));
  });
}

type Answered<T = FromReader> = T extends FromReader ? Omit<T, 'id'> : never;

async function answer(connection: ReadOnlyModel, { method, args }: Query): Promise<Answered> {
  try {
    const model = connection.open() as Record<Query['method'], (...args: unknown[]) => Promise<unknown>>;
    return { ok: true, value: await model[method](...args) };
  } catch (error) {
    const code = error instanceof ReadModelError ? error.code : 'unavailable';
    return { ok: false, code, message: messageOf(error) };
  }
}

/** The file as it is now: the projector may make it after this thread has begun, and anew where it was damaged. */
class ReadOnlyModel {
  private readonly path: string;
  private model: SqliteReadModel | null = null;
  private fileNumber: number | undefined;

  constructor(private readonly data: ReaderData) {
    this.path = join(resolve(data.dataDir), READ_MODEL_FILE);
  }

  /** Throws {@link ReadModelError}. */
  open(): SqliteReadModel {
    const fileNumber = statSync(this.path, { throwIfNoEntry: false })?.ino;
    if (this.model !== null && fileNumber === this.fileNumber) return this.model;
    this.close();
    const { dataDir, readTimeoutMs = Infinity } = this.data;
    const options = { readOnly: true, readTimeoutMs };
    this.model = openSqliteReadModel(dataDir, { warn: () => undefined }, options);
    this.fileNumber = fileNumber;
    return this.model;
  }

  close(): void {
    void this.model?.close();
    this.model = null;
  }
}
