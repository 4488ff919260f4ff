import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeWithKafka } from '../support/kafka.js';
import { LIMIT_MS } from '../support/kill-run.js';
import { MembersRun, PARTITIONS, SESSION_MS } from '../support/members-run.js';
import { faultSeed, seededRandom } from '../support/random.js';
import { metricOf } from '../support/service-sample.js';

/** Until a member that stands still has surely lost its partitions. */
const LOST_MS = SESSION_MS + 2_000;
/** Commands that are done between two changes. */
const SOME = 400;
const ROUNDS = Number(process.env['REBALANCE_ROUNDS'] ?? 1);
const seed = faultSeed();

describeWithKafka(
  `three instances on ${PARTITIONS} partitions that come and go under load (FAULT_SEED=${seed})`,
  (brokers) => {
    const random = seededRandom(seed);
    let run: MembersRun;

    beforeAll(async () => {
      run = await MembersRun.open(brokers);
      await run.join('a');
      run.begin();
      await run.untilDone(SOME);
    }, LIMIT_MS);
    afterAll(() => run.close());

    /** At no particular moment of its work. */
    const aMoment = (): Promise<void> => sleep(random() * 500);

    it(
      'share the work when they join, leave, are killed, and stand still',
      async () => {
        for (let round = 0; round < ROUNDS; round++) {
          await Promise.all([run.join('b'), run.join('c')]);
          await run.untilDone(SOME);
          await aMoment();
          expect(await run.leave('b')).toBe(0);
          await run.untilDone(SOME);
          await aMoment();
          await run.kill('c');
          await Promise.all([run.join('b'), run.join('c')]);
          await run.untilDone(SOME);
          await aMoment();
          // One after the other loses its partitions, and comes back not knowing.
          for (const name of ['a', 'b']) {
            run.pause(name);
            await sleep(LOST_MS);
            await run.untilDone(SOME);
            run.resume(name);
            await run.untilDone(SOME);
          }
          // All but one at once, and a new one in the middle of it.
          run.pause('a');
          await run.kill('b');
          await run.join('d');
          await run.untilDone(SOME);
          run.resume('a');
          await run.untilDone(SOME);
          expect(await run.leave('d')).toBe(0);
          await run.kill('c');
          await run.untilDone(SOME);
        }
      },
      LIMIT_MS * Math.max(1, ROUNDS / 5),
    );

    it.each([
      'before an append to EventStoreDB',
      'before the answer of an append to EventStoreDB is seen',
      'before the outputs',
      'after half the outputs',
      'before the offset is committed',
    ])(
      'are not harmed by one that stands still %s, and goes on when others have its work done',
      async (point) => {
        await run.join('zombie', { point, nth: 5, signal: 'SIGSTOP' });
        await run.untilStopped('zombie');
        // Those who take over do what it has in hand, and more.
        await sleep(LOST_MS);
        await run.untilAllDone();
        await run.untilDone(SOME);
        run.resume('zombie');
        await run.untilDone(SOME);
        const { metrics } = await run.sample('zombie');
        // Its append was of commands that are recorded by now.
        if (point === 'before an append to EventStoreDB') {
          expect(metricOf(metrics, 'replica_conflicts_total')).toBeGreaterThan(0);
        }
        await run.kill('zombie');
      },
      LIMIT_MS,
    );

    it(
      'leave no gap, no disorder and no offset that went back',
      async () => {
        const broken = await run.brokenPromises();
        console.log(`${run.commands.length} commands`);
        expect(broken.slice(0, 20)).toEqual([]);
      },
      LIMIT_MS,
    );
  },
);
