import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { join } from 'node:path';
import { openEventStoreDb } from '../../src/adapters/event-store/eventstoredb/eventstoredb-event-store.js';
import { STREAM_PREFIX } from '../../src/replica/stored.js';
import { CertificateAuthority } from '../support/certificates.js';
import { connectionStringOf, startEventStoreServer } from '../support/eventstore-server/index.js';
import { bothWays, FaultProxy } from '../support/fault-proxy.js';
import { until } from '../support/http.js';
import { temporaryFolder } from '../support/service.js';

describe('a connection to EventStoreDB that is taken and never answered', () => {
  const folder = temporaryFolder();
  let certificate: { cert: string; key: string; ca: string };
  beforeAll(() => {
    const authority = CertificateAuthority.root(join(folder.path, 'authority'));
    const names = { usage: 'serverAuth', alternative: 'IP:127.0.0.1' } as const;
    certificate = { ...authority.issue('server', names), ca: authority.cert };
  });
  afterAll(() => folder.remove());

  it.each([false, true])('is given up, and another one made (TLS: %s)', async (isTls) => {
    const tls = isTls ? { tls: certificate } : {};
    const server = await startEventStoreServer(tls);
    const proxy = await FaultProxy.start({ target: server.port, seed: 1 });
    const connectionString = `${connectionStringOf(proxy.port, tls)}&defaultDeadline=1000`;
    const store = openEventStoreDb({ connectionString, streamPrefix: STREAM_PREFIX });
    try {
      proxy.faults = bothWays({ passage: 'lost' });
      expect(await store.health()).toMatch(/no answer to a read within 2000 ms/);
      await proxy.heal();
      // Of the first one nothing will ever be heard.
      expect(proxy.accepted).toBe(1);
      await until('the store answers', async () => (await store.health()) === null);
    } finally {
      await store.close();
      proxy.close();
      await server.stop();
    }
  });
});
