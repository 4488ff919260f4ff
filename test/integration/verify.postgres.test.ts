import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from '@jest/globals';
import { openEventStore } from '../../src/open-event-store.js';
import { runCli } from '../support/cli.js';
import { Histories, randomFrom } from '../support/histories.js';
import { describeWithPostgres, query } from '../support/postgres.js';

describeWithPostgres('verify, with the read model in PostgreSQL', (schemas) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'verify-postgres-'));
  afterAll(() => rmSync(dataDir, { recursive: true }));

  it('finds what a rebuild made as the events say, and a row and a count that were tampered with', async () => {
    const store = openEventStore({ kind: 'sqlite', dataDir });
    await new Histories(randomFrom(11), 30).append(store, 1000);
    await store.close();
    const url = await schemas.fresh();
    const environment = { DATA_DIR: dataDir, DATABASE_URL: url };
    expect(await runCli(environment, 'projections', 'rebuild')).toMatchObject({ code: 0 });
    expect(await runCli(environment, 'verify')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^Verified: \d+ rows, \d+ streams: as the events say/),
    });

    const { rows } = await query(
      url,
      `UPDATE replica_devices SET outstanding = outstanding + 1
       WHERE device_id = (SELECT min(device_id) FROM replica_devices) RETURNING device_id`,
    );
    const [{ device_id: deviceId }] = rows as [{ device_id: string }];
    const { code, stdout } = await runCli(environment, 'verify');
    expect(code).toBe(1);
    expect(stdout).toContain(deviceId);
    expect(stdout).toMatch(/outstanding/);
    expect(stdout).toMatch(/1 difference;/);

    const changed = await query(
      url,
      `UPDATE replica_settled SET count = count + 1
       WHERE (hour, outcome, bucket) = (SELECT hour, outcome, bucket FROM replica_settled ORDER BY 1, 2, 3 LIMIT 1)`,
    );
    expect(changed.rowCount).toBe(1);
    const counted = await runCli(environment, 'verify');
    expect(counted.code).toBe(1);
    expect(counted.stdout).toMatch(
      /\nchanges (reached|superseded|withdrawn) in up to \d+ ms, in the hour of \S+: events \d+ .*, counted \d+ /,
    );
    expect(counted.stdout).toMatch(/2 differences;/);
  });
});
