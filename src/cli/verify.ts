import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { READ_MODEL_FILE } from '../adapters/read-model/sqlite/sqlite-read-model.js';
import { CONVERGENCE_BOUNDS_MS, type SettledDifference } from '../application/convergence-counts.js';
import { VIEW_SCHEMA_VERSION } from '../application/device-view.js';
import { type ReadModel } from '../application/ports/read-model.js';
import { type Finding, verify } from '../application/verify.js';
import { openReadModel, readModelAddressOf } from '../open-read-model.js';
import { type Command, InterruptedError, noneLeft } from './command.js';
import { interruptible } from './interrupt.js';
import { print, StandardOutput } from './output.js';
import { endOfBar, Progress } from './progress.js';
import { type Place, readPlace, withLog } from './store.js';

export const verifyCommand: Command = {
  name: 'verify',
  synopsis: '[--data-dir DIR]',
  summary: 'replay every device and compare with the read model',
  help: `Replays the stream of every device and compares what comes out with the device's
row in the read model, byte by byte, at the row's own revision; so a service may
project meanwhile. Prints a line for each field that differs, with what the events
say and what the row has, for each row without a stream, for each stream without
a row, and for each row that was left behind; then for each count of settled
desired changes that is not what the streams settled; at the end, how far behind
the read model was.

--data-dir DIR           the folder of the SQLite files, instead of DATA_DIR

Both are those of the service's own settings. Nothing is changed. Exit code 1 where
anything differs: POST /ops/projections/rebuild, or projections rebuild, makes the
read model anew.
`,
  options: ['data-dir'],
  async run({ positionals, values }) {
    noneLeft(positionals);
    const place = readPlace(values);
    return interruptible((signal) =>
      withLog(place, async (log) => {
        const model = await openModel(place);
        try {
          await refuseOther(model);
          const output = new StandardOutput();
          const progress = new Progress(process.stderr, 'Verifying');
          let events = 0;
          const lines: string[] = [];
          const result = await verify(log, model, {
            signal,
            onFinding: (finding) => {
              // What a reader leaves at that has had enough.
              process.exitCode = 1;
              lines.push(lineOfFinding(finding));
            },
            onProgress: (count, share) => {
              events = count;
              progress.update(count, share);
              // Printed between two pages of rows, no faster than they are read.
              if (lines.length > 0) process.stderr.write(endOfBar());
              for (const line of lines.splice(0)) print(`${line}\n`);
            },
          });
          if (result.isInterrupted) throw new InterruptedError();
          progress.end(events);
          for (const line of lines) await output.write(`${line}\n`);
          const { rows, streams, findings, eventsBehind } = result;
          const how =
            findings === 0 ? 'as the events say' : `${findings} difference${findings === 1 ? '' : 's'}`;
          const behind = eventsBehind === 0 ? 'up to date' : `${eventsBehind} events behind when this began`;
          await output.write(
            `Verified: ${rows} rows, ${streams} streams: ${how}; the read model was ${behind}\n`,
          );
          await output.finish();
          return findings === 0 ? 0 : 1;
        } finally {
          await model.close();
        }
      }),
    );
  },
};

async function openModel({ settings, dataDir }: Place): Promise<ReadModel> {
  const address = readModelAddressOf({ ...settings, DATA_DIR: dataDir });
  if (address.kind === 'sqlite' && !existsSync(join(dataDir, READ_MODEL_FILE))) {
    const path = join(dataDir, READ_MODEL_FILE);
    throw new Error(`DATA_DIR: there is no ${path}; the service, or projections rebuild, makes it`);
  }
  const logger = { warn: (_: object, message: string) => process.stderr.write(`${message}\n`) };
  return openReadModel(address, logger, { readOnly: true });
}

/** Rows of another version mean something else, and would all differ. */
async function refuseOther(model: ReadModel): Promise<void> {
  const active = (await model.generations()).find(({ isActive }) => isActive);
  if (active === undefined) throw new Error('the read model is empty: nothing was projected yet');
  if (active.schema !== VIEW_SCHEMA_VERSION) {
    throw new Error('the read model is of another version of the service: rebuild it first');
  }
}

function lineOfFinding(finding: Finding): string {
  if (finding.kind === 'settled') return lineOfCounts(finding);
  const { kind, deviceId } = finding;
  if (kind === 'no-stream') return `${deviceId}: a row without a stream`;
  if (kind === 'no-row') return `${deviceId}: a stream without a row`;
  if (kind === 'left-behind') {
    return `${deviceId}: left behind at revision ${finding.revision}: the read model is past its next event`;
  }
  const { field, revision, expected, actual } = finding;
  const [one, other] =
    typeof expected === 'string' && typeof actual === 'string'
      ? excerpts(expected, actual)
      : [JSON.stringify(expected), JSON.stringify(actual)];
  return `${deviceId}: ${field} at revision ${revision}: events ${one}, row ${other}`;
}

function lineOfCounts({ expected, actual }: SettledDifference): string {
  const { hour, outcome, bucket } = expected;
  const [above, upTo] = [CONVERGENCE_BOUNDS_MS[bucket - 1], CONVERGENCE_BOUNDS_MS[bucket]];
  const duration = upTo === undefined ? `in more than ${above} ms` : `in up to ${upTo} ms`;
  const [one, other] = [expected, actual].map(({ count, sumMs }) => `${count} (${sumMs} ms together)`);
  return `changes ${outcome} ${duration}, in the hour of ${new Date(hour).toISOString()}: events ${one}, counted ${other}`;
}

const BEFORE = 40;
const EXCERPT = 160;

/** Both from a little before the place where they begin to differ. */
export function excerpts(one: string, other: string): [string, string] {
  let at = 0;
  while (at < one.length && one[at] === other[at]) at++;
  const from = Math.max(0, at - BEFORE);
  const cut = (text: string): string =>
    `${from > 0 ? '…' : ''}${JSON.stringify(text.slice(from, from + EXCERPT))}${text.length > from + EXCERPT ? '…' : ''}`;
  return [cut(one), cut(other)];
}
