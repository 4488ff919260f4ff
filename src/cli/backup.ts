import { backUpEvents } from '../adapters/event-store/sqlite/backup.js';
import { type Command, noneLeft, UsageError } from './command.js';
import { PartialFile, print } from './output.js';
import { readPlace } from './store.js';

export const backupCommand: Command = {
  name: 'backup',
  synopsis: '--out FILE [--data-dir DIR]',
  summary: 'copy the SQLite events to a file, while the service runs',
  help: `Writes all events that are recorded at one moment to a file, which is an events.db
to start a service with, and checks it. The service may run and record meanwhile.

--out FILE               where to; the file is there whole or not at all, and takes
                         the place of one of before
--data-dir DIR           the folder of the SQLite files, instead of DATA_DIR

How to restore it is in docs/operations.md. EventStoreDB has backups of its own.
`,
  options: ['out', 'data-dir'],
  async run({ positionals, values }) {
    noneLeft(positionals);
    const out = values['out'];
    if (out === undefined || out === '') throw new UsageError('--out is missing; see --help');
    const { settings, dataDir } = readPlace(values);
    if (settings.EVENTSTORE_CONNECTION_STRING !== undefined && values['data-dir'] === undefined) {
      throw new UsageError(
        'the events are in EventStoreDB (EVENTSTORE_CONNECTION_STRING), which has backups of its own',
      );
    }
    const partial = new PartialFile(out);
    const count = await partial.complete(async () => backUpEvents(dataDir, partial.path));
    print(`Backed up: ${count} events to ${out}\n`);
    return 0;
  },
};
