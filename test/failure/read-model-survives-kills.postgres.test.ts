import { it } from '@jest/globals';
import { describeWithPostgres } from '../support/postgres.js';
import { surviveKills } from './read-model-kills.js';

const KILLS = 25;
/** A bound for what hangs. */
const LIMIT_MS = 10 * 60_000;

describeWithPostgres(
  'The read model in PostgreSQL of a process that is killed while it projects',
  (schemas) => {
    it(
      'shows no device otherwise than its events did, goes on, and ends like one that is made anew',
      async () => {
        const url = await schemas.fresh();
        await surviveKills({
          killCount: KILLS,
          addressOf: () => ({ kind: 'postgres', url, poolCount: 2, readTimeoutMs: 10_000 }),
          stepMs: 15,
        });
      },
      LIMIT_MS,
    );
  },
);
