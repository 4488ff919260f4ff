import { type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  type AppendAnswer,
  type AppendOrder,
  APPENDS_PER_STREAM,
  IN_FLIGHT,
  STREAMS_PER_CALL,
} from './append-messages.js';
import { end, untilLine } from './children.js';
import { cpuMicros, MEASURED_CORE, median, NODE_FLAGS, spawnPinned } from './machine.js';
import { announce } from './report.js';
import { startStoreServer, type StoreServer } from './store-server.js';

const EVENTS_OF_LARGE_APPENDS = 10;

export interface AppendContestOptions {
  /** After one to warm up. */
  readonly rounds: number;
  /** Single-event appends a round; of those with more events there are a fifth as many. */
  readonly appends: number;
}

/** Medians of one side. */
export interface AppendFigures {
  readonly name: string;
  readonly appendsPerSecond: number;
  readonly eventsPerSecond: number;
  readonly cpuMicrosPerAppend: number;
  /** Of the test server. */
  readonly serverCpuMicrosPerAppend: number;
  /** Appends a second in each round. */
  readonly rounds: readonly number[];
}

/** One size of appends. */
export interface AppendComparison {
  readonly eventsPerAppend: number;
  /** In a round. */
  readonly appends: number;
  readonly client: AppendFigures;
  readonly adapter: AppendFigures;
  /** Appends a second of the adapter by those of the plain client. */
  readonly ratio: number;
}

export interface AppendContest {
  readonly method: string;
  readonly single: AppendComparison;
  readonly large: AppendComparison;
}

interface Side {
  readonly name: string;
  readonly process: ChildProcess;
  /** Rejects when the program ends. */
  readonly ended: Promise<never>;
}

interface Series {
  readonly eventsPerAppend: number;
  readonly appends: number;
  /** By side, then by round. */
  readonly measured: readonly [Measured[], Measured[]];
}

interface Measured extends AppendAnswer {
  readonly serverCpuMicros: number;
}

/**
 * Appends a second of this service's adapter against the plain client's `appendToStream`: the same events, against
 * the same test server, in alternating rounds, each side in a process of its own. Prints the method, each round and
 * the medians.
 */
export async function runAppendContest({ rounds, appends }: AppendContestOptions): Promise<AppendContest> {
  const method = `${appends} appends of 1 event and ${appends / 5} of ${EVENTS_OF_LARGE_APPENDS} a round, 300 bytes of data and 350 of metadata an event, ${APPENDS_PER_STREAM} appends to each stream, expected revisions, ${IN_FLIGHT} in flight (the adapter: in calls of ${STREAMS_PER_CALL} streams), test server on the other core; ${rounds} alternating rounds after one to warm up, medians`;
  announce(method);
  const server = await startStoreServer();
  const sides: Side[] = [];
  const series: Series[] = [
    { eventsPerAppend: 1, appends, measured: [[], []] },
    { eventsPerAppend: EVENTS_OF_LARGE_APPENDS, appends: appends / 5, measured: [[], []] },
  ];
  try {
    sides.push(await startSide('client', 'plain client', server));
    sides.push(await startSide('adapter', 'adapter', server));
    for (let round = 0; round <= rounds; round++) {
      for (const one of series) {
        // Who is first takes turns, too.
        const order = [...sides.entries()];
        for (const [index, side] of round % 2 === 0 ? order : order.reverse()) {
          const measured = await runRound(side, one, `${round}-${one.eventsPerAppend}-${index}`, server);
          if (round === 0) continue;
          one.measured[index as 0 | 1].push(measured);
          console.log(`round ${round} ${side.name}: ${textOf(figuresOf(side.name, one, [measured]), one)}`);
        }
      }
    }
  } finally {
    await Promise.all([...sides, server].map((program) => end(program.process)));
  }
  const [single, large] = series.map((one) => comparisonOf(one, sides));
  if (single === undefined || large === undefined) throw new Error('Both series must have run');
  return { method, single, large };
}

async function startSide(
  side: 'client' | 'adapter',
  name: string,
  { connectionString }: StoreServer,
): Promise<Side> {
  const child = spawnPinned(
    MEASURED_CORE,
    process.execPath,
    [...NODE_FLAGS, '--import', 'tsx', 'bench/append-side.ts'],
    { EVENTSTORE_CONNECTION_STRING: connectionString, SIDE: side },
    'channel',
  );
  await untilLine(child, (line) => line === 'ready');
  const ended = once(child, 'exit').then(([code]): never => {
    throw new Error(`The program of the ${name} ended with code ${code}`);
  });
  // It ends after the last round, too, when nobody waits for it.
  ended.catch(() => undefined);
  return { name, process: child, ended };
}

async function runRound(
  { process: child, ended }: Side,
  { appends, eventsPerAppend }: Series,
  round: string,
  server: StoreServer,
): Promise<Measured> {
  const order: AppendOrder = { round, appends, eventsPerAppend };
  const serverPid = server.process.pid as number;
  const before = cpuMicros(serverPid) ?? NaN;
  child.send(order);
  const [answer] = (await Promise.race([once(child, 'message'), ended])) as [AppendAnswer];
  return { ...answer, serverCpuMicros: (cpuMicros(serverPid) ?? NaN) - before };
}

function comparisonOf(series: Series, sides: readonly Side[]): AppendComparison {
  const [client, adapter] = sides.map(({ name }, index) =>
    figuresOf(name, series, series.measured[index as 0 | 1]),
  );
  if (client === undefined || adapter === undefined) throw new Error('Both sides must have run');
  for (const side of [client, adapter]) console.log(`${side.name}: ${textOf(side, series)} (medians)`);
  const { eventsPerAppend, appends } = series;
  const ratio = adapter.appendsPerSecond / client.appendsPerSecond;
  return { eventsPerAppend, appends, client, adapter, ratio };
}

function figuresOf(
  name: string,
  { appends, eventsPerAppend }: Series,
  measured: readonly Measured[],
): AppendFigures {
  const perSecond = measured.map(({ seconds }) => appends / seconds);
  const perAppend = (micros: number[]): number => Number((median(micros) / appends).toFixed(1));
  return {
    name,
    appendsPerSecond: Math.round(median(perSecond)),
    eventsPerSecond: Math.round(median(perSecond) * eventsPerAppend),
    cpuMicrosPerAppend: perAppend(measured.map(({ cpuMicros }) => cpuMicros)),
    serverCpuMicrosPerAppend: perAppend(measured.map(({ serverCpuMicros }) => serverCpuMicros)),
    rounds: perSecond.map(Math.round),
  };
}

function textOf(figures: AppendFigures, { eventsPerAppend }: Series): string {
  const { appendsPerSecond, eventsPerSecond, cpuMicrosPerAppend, serverCpuMicrosPerAppend } = figures;
  const size = eventsPerAppend === 1 ? '1 event' : `${eventsPerAppend} events`;
  return `${size} an append, ${appendsPerSecond} appends/s, ${eventsPerSecond} events/s, ${cpuMicrosPerAppend} CPU µs/append, ${serverCpuMicrosPerAppend} of the server`;
}
