import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';
import { type MessagePort } from 'node:worker_threads';
import { silentLogger } from '../adapters/event-store/eventstoredb/logger.js';
import { LogSignal } from '../adapters/event-store/subscription.js';
import { Backoff } from '../application/backoff.js';
import { type EventLog } from '../application/ports/event-store.js';
import { type ProjectionObserver } from '../application/ports/projection-observer.js';
import { type ReadModel, ReadModelError } from '../application/ports/read-model.js';
import { LedProjections } from '../application/led-projections.js';
import { type Leadership } from '../application/ports/leadership.js';
import { type PresenceWritten } from '../application/ports/presence.js';
import { type ProjectionsStatus } from '../application/projections.js';
import { deferred, messageOf, pause } from '../application/timing.js';
import { openEventLog } from '../open-event-log.js';
import { openLeadership, openReadModel } from '../open-read-model.js';
import {
  type FromProjector,
  portable,
  type ProjectorData,
  QUIET_MS,
  STATUS_MS,
  type ToProjector,
} from './messages.js';

const FIRST_DELAY_MS = 200;
const LAST_DELAY_MS = 10_000;
/** Where there are fewer cores than work, commands come first. */
const NICENESS = 10;

interface Opened {
  readonly store: EventLog;
  readonly model: ReadModel;
  readonly leadership: Leadership;
}

/** Keeps the read model up to date, with connections of this thread's own, until it is told to stop. */
export async function runProjector(port: MessagePort, data: ProjectorData): Promise<void> {
  const stopping = new AbortController();
  let projections: LedProjections | null = null;
  let asked = 0;
  let problem: string | null = null;
  const model = deferred<ReadModel>();
  const post = (message: FromProjector): void => port.postMessage(message);
  const grown = new LogSignal();
  let said = '';
  let saidAt = 0;
  const sendStatus = (isDue = true): void => {
    const status = statusOf(projections, problem);
    // What no projections were told of yet would be forgotten if this thread ended now.
    const known = projections === null ? 0 : asked;
    const { position, lagMs, rebuild } = status;
    const now = [position, lagMs, rebuild?.events, rebuild?.share, status.problem, known].join();
    if (!isDue && now === said && performance.now() - saidAt < QUIET_MS) return;
    said = now;
    saidAt = performance.now();
    post({ kind: 'status', at: Date.now(), status, asked: known });
  };
  port.on('message', (message: ToProjector) => {
    if (message.kind === 'stop') return stopping.abort();
    if (message.kind === 'presence') {
      const { id, written } = message;
      void model.promise.then((opened) => writePresence(opened, id, written)).then(post);
      return undefined;
    }
    if (message.kind === 'grown') return grown.notify();
    asked = message.ask;
    projections?.rebuild();
    return undefined;
  });
  yieldToCommands();
  const beat = setInterval(() => sendStatus(false), STATUS_MS);
  try {
    const observer = observerOf(post, sendStatus);
    const opened = await openBoth(data, post, grown, stopping.signal, (error, delayMs) => {
      problem = messageOf(error).split('\n', 1)[0] ?? 'unknown';
      observer.projectionFailed('live', error, delayMs);
    });
    if (opened === null) return;
    model.resolve(opened.model);
    projections = new LedProjections({ ...opened, observer, clock: Date.now, options: data.options });
    projections.start();
    if (asked > 0) projections.rebuild();
    await new Promise<void>((resolve) => {
      if (stopping.signal.aborted) resolve();
      stopping.signal.addEventListener('abort', () => resolve());
    });
    await projections.stop();
    await opened.model.close();
    await opened.store.close();
  } finally {
    clearInterval(beat);
    port.close();
  }
}

/** Tries for ever: what is wrong may be mended meanwhile. Null: it was told to stop. */
async function openBoth(
  { store: storeAddress, model: modelAddress, isToldOfGrowth }: ProjectorData,
  post: (message: FromProjector) => void,
  grown: LogSignal,
  signal: AbortSignal,
  failed: (error: unknown, delayMs: number) => void,
): Promise<Opened | null> {
  const log =
    (level: 'info' | 'warn') =>
    (fields: object, text: string): void =>
      post({ kind: 'log', level, fields: portableFields(fields), text });
  const logger = { info: log('info'), warn: log('warn') };
  const backoff = new Backoff(FIRST_DELAY_MS, LAST_DELAY_MS);
  let store: EventLog | null = null;
  while (!signal.aborted) {
    try {
      // That the store is away, and back, is told by the service's own connection to it: once, not twice.
      store ??= await openEventLog(storeAddress, silentLogger, isToldOfGrowth ? grown : undefined);
      const model = await openReadModel(modelAddress, logger);
      return { store, model, leadership: openLeadership(modelAddress) };
    } catch (error) {
      const delayMs = backoff.nextDelayMs();
      failed(error, delayMs);
      await pause(delayMs, signal);
    }
  }
  await store?.close();
  return null;
}

async function writePresence(model: ReadModel, id: number, written: PresenceWritten): Promise<FromProjector> {
  try {
    return { kind: 'presence', id, ok: true, value: await model.writePresence(written) };
  } catch (error) {
    const code = error instanceof ReadModelError ? error.code : 'unavailable';
    return { kind: 'presence', id, ok: false, code, message: messageOf(error) };
  }
}

/** While nothing could be opened yet, nothing is known of the lag but that there may be one. */
function statusOf(projections: LedProjections | null, problem: string | null): ProjectionsStatus {
  return projections?.status() ?? { position: null, lagMs: 1, rebuild: null, problem };
}

function observerOf(post: (message: FromProjector) => void, sendStatus: () => void): ProjectionObserver {
  return {
    projected(...args) {
      post({ kind: 'observed', call: { method: 'projected', args } });
      sendStatus();
    },
    deviceBroken: (...args) => post({ kind: 'observed', call: { method: 'deviceBroken', args } }),
    projectionFailed: (kind, error, delayMs) =>
      post({
        kind: 'observed',
        call: { method: 'projectionFailed', args: [kind, portable(error), delayMs] },
      }),
    settled: (...args) => post({ kind: 'observed', call: { method: 'settled', args } }),
    generation: (...args) => post({ kind: 'observed', call: { method: 'generation', args } }),
  };
}

function portableFields(fields: object): object {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, portable(value)]));
}

/** A matter of this thread alone where the system has threads with priorities of their own, as Linux has. */
function yieldToCommands(): void {
  try {
    const thread = /\/task\/(\d+)$/.exec(readlinkSync('/proc/thread-self'))?.[1];
    if (thread !== undefined) setPriority(Number(thread), NICENESS);
  } catch {
    // It only shares the processor more equally then.
  }
}
