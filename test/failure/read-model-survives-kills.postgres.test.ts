import { it } from '@jest/globals';
import { until } from '../support/http.js';
import { describeWithPostgres, sessionCountOf, withOption } from '../support/postgres.js';
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
        const name = 'killed while it projects';
        const url = withOption(await schemas.fresh(), 'application_name', name);
        await surviveKills({
          killCount: KILLS,
          addressOf: () => ({ kind: 'postgres', url, poolCount: 2, readTimeoutMs: 10_000 }),
          stepMs: 15,
          isOver: () => until('its sessions have ended', async () => (await sessionCountOf(url, name)) === 0),
        });
      },
      LIMIT_MS,
    );
  },
);
