import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { runCli } from '../support/cli.js';
import { describeWithKafka } from '../support/kafka.js';
import { LIMIT_MS } from '../support/kill-run.js';
import { MembersRun } from '../support/members-run.js';
import { describeWithPostgres, query } from '../support/postgres.js';

/**
 * The `main.js` of the version before. Default: what is built here, so that a rolling restart is tried; docs/testing.md
 * says how an older one is.
 */
const PREVIOUS = process.env['PREVIOUS_MAIN'];
const MEMBERS = PREVIOUS === undefined ? ['a', 'b'] : ['a', 'b', 'c'];
/** Commands that are done between two changes. */
const SOME = 200;

describeWithKafka('instances of one group under load', (brokers) =>
  describeWithPostgres('with one read model', (schemas) => {
    let run: MembersRun;
    let settings: { DATABASE_URL: string };

    beforeAll(async () => {
      settings = { DATABASE_URL: await schemas.fresh() };
      run = await MembersRun.open(brokers, settings);
      await Promise.all(MEMBERS.map((name) => run.join(name, undefined, PREVIOUS)));
      run.begin();
      await run.untilDone(SOME);
    }, LIMIT_MS);
    afterAll(() => run.close());

    it(
      'are upgraded one by one, and all of them answer all the while',
      async () => {
        for (const name of MEMBERS) {
          expect(await run.leave(name)).toBe(0);
          await run.join(name);
          await run.untilDone(SOME);
          for (const member of MEMBERS) {
            const { status, body } = await run.rest(member).get('/fleet?limit=1');
            expect({ member, status, devices: body['devices'] }).toEqual({
              member,
              status: 200,
              devices: [expect.anything()],
            });
          }
        }
        const verified = await runCli({ ...settings, ...run.store }, 'verify');
        expect(verified).toMatchObject({ code: 0, stdout: expect.stringContaining('as the events say') });
      },
      LIMIT_MS,
    );

    if (PREVIOUS !== undefined) {
      it(
        'go back with a read model made anew',
        async () => {
          for (const name of MEMBERS) expect(await run.leave(name)).toBe(0);
          await query(
            settings.DATABASE_URL,
            `DO $$ DECLARE name text; BEGIN
               FOR name IN SELECT tablename FROM pg_tables
                 WHERE schemaname = current_schema AND tablename LIKE 'replica\\_%'
               LOOP EXECUTE format('DROP TABLE %I CASCADE', name); END LOOP;
             END $$`,
          );
          await Promise.all(MEMBERS.map((name) => run.join(name, undefined, PREVIOUS)));
          await run.untilDone(SOME);
        },
        LIMIT_MS,
      );
    }

    it(
      'left nothing out, did nothing twice, and no offset went back',
      async () => {
        expect((await run.brokenPromises()).slice(0, 20)).toEqual([]);
      },
      LIMIT_MS,
    );
  }),
);
