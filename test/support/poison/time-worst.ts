import { CommandLog } from '../command-log.js';
import { ReplicaProcess } from '../replica-process.js';
import { type WorstCase } from './worst.js';

/** The least of so many measurements: what the machine did beside it only adds. */
const TIMES = 5;

/**
 * Milliseconds that one request of the case holds up the event loop: it is read, decided, recorded in memory and answered
 * in one go.
 */
export async function timeOf(worst: WorstCase, bytes: number): Promise<number> {
  let least = Infinity;
  for (let time = 0; time < TIMES; time++) {
    const service = new ReplicaProcess();
    const log = new CommandLog('update', 'worst', undefined, 1);
    const send = async (text: string): Promise<number> => {
      log.send('device', Buffer.from(text));
      const batch = log.batch(log.messages.length - 1);
      const start = performance.now();
      await service.deliver(batch);
      return performance.now() - start;
    };
    const before = worst.before?.(bytes);
    if (before !== undefined) await send(before);
    least = Math.min(least, await send(worst.request(bytes)));
  }
  return least;
}

const UNIT_TEXT = JSON.stringify(Array.from({ length: 8_000 }, (_, index) => ({ index })));

/** Milliseconds of a piece of work that is the same everywhere: some 128 KiB of JSON read and written. */
export function unitMs(): number {
  let least = Infinity;
  for (let time = 0; time < 3 * TIMES; time++) {
    const start = performance.now();
    JSON.stringify(JSON.parse(UNIT_TEXT));
    least = Math.min(least, performance.now() - start);
  }
  return least;
}
