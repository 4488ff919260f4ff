import { openPostgresReadModel } from '../../src/adapters/read-model/postgres/postgres-read-model.js';
import { describeWithPostgres } from '../support/postgres.js';
import { readModelContract } from './read-model.contract.js';

describeWithPostgres('PostgreSQL', (schemas) => {
  readModelContract('postgres', () => {
    const options = { poolCount: 2, readTimeoutMs: 10_000 };
    let url = '';
    return {
      open: async () => openPostgresReadModel((url = await schemas.fresh()), options),
      reopen: () => openPostgresReadModel(url, options),
    };
  });
});
