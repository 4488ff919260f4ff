import { afterAll, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { RestClient } from '../support/http.js';
import { describeWithKafka } from '../support/kafka.js';
import { expelMembers } from '../support/group-members.js';
import { type PreparedCommand, prepareCommands, produceAll } from '../support/kafka-run.js';
import { KillRun, LIMIT_MS } from '../support/kill-run.js';
import { faultSeed, seededRandom, shuffled } from '../support/random.js';
import { type OpenRunStore } from '../support/run-store.js';

/*
 * The service is killed at named points of its work, each several times, by a module that is loaded before it
 * (test/support/kill-at.mjs), while commands come in all the time.
 */

const DEVICES = 100;
/** Commands that come together, and how many may wait. */
const PORTION = 150;
const MAX_WAITING = 600;
const PORTION_MS = 100;
/** The broken promises that are shown: one cause breaks many. */
const SHOWN = 20;
/** Small units of work, so that a life has many of them, and a snapshot of each device now and then. */
const SETTINGS = { BATCH_MAX_COUNT: '50', SNAPSHOT_EVERY_COUNT: '7', PROJECTION_DELAY_MS: '20' };

export interface PointScenario {
  readonly storeName: string;
  readonly openStore: OpenRunStore;
  readonly points: readonly string[];
  /** How often it is killed at each of them. Default 4; KILL_ROUNDS sets another. */
  readonly rounds?: number;
  /** Looks, in the end, at what is beside the events. The service is stopped. */
  readonly finally?: (run: KillRun) => Promise<void>;
}

export function survivesKillsAt(scenario: PointScenario): void {
  const { storeName, openStore, points } = scenario;
  const rounds = Number(process.env['KILL_ROUNDS'] ?? scenario.rounds ?? 4);
  const seed = faultSeed();

  describeWithKafka(
    `killed at named points, on ${storeName} (FAULT_SEED=${seed}), the service`,
    (brokers) => {
      const run = new KillRun(brokers, openStore, SETTINGS);
      const random = seededRandom(seed);
      const commands: PreparedCommand[] = [];
      afterAll(() => run.close());

      async function feed(signal: AbortSignal): Promise<void> {
        while (!signal.aborted) {
          if ((await run.waiting()) < MAX_WAITING) {
            const next = prepareCommands({ count: PORTION, devices: DEVICES, from: commands.length });
            commands.push(...next);
            await produceAll(run.kafka, run.topic, next);
          }
          await sleep(PORTION_MS);
        }
      }

      it(
        `does each command once, killed ${rounds} times at each of ${points.length} points`,
        async () => {
          await run.start();
          await run.service.stop();
          const over = new AbortController();
          const feeding = feed(over.signal);
          try {
            for (let round = 0; round < rounds; round++) {
              for (const point of shuffled(points, random)) {
                const nth = ONCE_A_LIFE.has(point) ? 1 : 1 + Math.floor(random() * 4);
                await run.dieAt({ point, nth, signal: 'SIGKILL' }, async ({ url }) => {
                  if (point.includes('rebuild')) await rebuildOverAndOver(new RestClient(url));
                });
                await expelMembers(run.kafka, brokers, run.prefix);
              }
            }
          } finally {
            over.abort();
            await feeding;
          }
          await run.start();
          const broken = await run.brokenPromises(commands);
          expect(broken.slice(0, SHOWN)).toEqual([]);
          console.log(`${commands.length} commands; ${rounds * points.length} kills`);
          await scenario.finally?.(run);
        },
        LIMIT_MS,
      );
    },
  );
}

/** Other points are come to again and again. */
const ONCE_A_LIFE: ReadonlySet<string> = new Set(['when partitions are assigned']);

/** Until the service is gone. One that is under way is not begun anew. */
async function rebuildOverAndOver(rest: RestClient): Promise<never> {
  const init = { body: '{}', headers: { 'content-type': 'application/json' } };
  for (;;) {
    expect((await rest.call('POST', '/ops/projections/rebuild', init)).status).toBe(202);
    await sleep(PORTION_MS);
  }
}

/** What is alike on whichever event store. */
export const POINTS_IN_KAFKA = [
  'before the outputs',
  'after half the outputs',
  'after the outputs',
  'before the offset is committed',
  'after the offset is committed',
  'when partitions are assigned',
] as const;
