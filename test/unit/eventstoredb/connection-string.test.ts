import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  placeOf,
  readConnectionString,
} from '../../../src/adapters/event-store/eventstoredb/connection-string.js';
import { EventStoreError } from '../../../src/application/ports/event-store.js';

function problemOf(connectionString: string): string {
  try {
    readConnectionString(connectionString);
  } catch (error) {
    if (error instanceof EventStoreError && error.code === 'invalid') return error.message;
    throw error;
  }
  throw new Error('the connection string was accepted');
}

describe('a connection string', () => {
  it.each([
    ['esdb://localhost', 'localhost:2113', false, true],
    ['esdb://localhost:1234?tls=false', 'localhost:1234', false, false],
    ['esdb://localhost:1234/?tls=false', 'localhost:1234', false, false],
    ['esdb://[::1]:2113', '[::1]:2113', false, true],
    ['esdb://a:1,b:2,c', 'a:1,b:2,c:2113', true, true],
    ['esdb+discover://cluster.example:2113', 'cluster.example:2113', true, true],
    ['kurrentdb://node', 'node:2113', false, true],
    ['kurrentdb+discover://node', 'node:2113', true, true],
    [' esdb://node \n', 'node:2113', false, true],
  ])('%s is read', (text, place, discover, tls) => {
    const settings = readConnectionString(text);
    expect({ place: placeOf(settings), discover: settings.discover, tls: settings.tls }).toEqual({
      place,
      discover,
      tls,
    });
  });

  it('gives credentials with what is escaped in them', () => {
    const { credentials, endpoints } = readConnectionString('esdb://op%40home:p%3Aa%40s%25s@node:1');
    expect(credentials).toEqual({ username: 'op@home', password: 'p:a@s%s' });
    expect(endpoints).toEqual([{ address: 'node', port: 1 }]);
  });

  it('reads its options whatever their case', () => {
    const text =
      'esdb://n?TLS=false&defaultdeadline=3000&KeepAliveInterval=-1&maxDiscoverAttempts=3&connectionName=a%20b';
    expect(readConnectionString(text)).toMatchObject({
      tls: false,
      deadlineMs: 3000,
      keepAliveIntervalMs: -1,
      maxDiscoverAttempts: 3,
      connectionName: 'a b',
    });
  });

  it.each([
    ['', 'esdb://'],
    ['http://node', 'esdb://'],
    ['esdb:/node', 'esdb://'],
    ['esdb://', 'hosts'],
    ['esdb://a,,b', 'hosts'],
    ['esdb://node:99999', 'hosts'],
    ['esdb://node:port', 'hosts'],
    ['esdb://node/path', 'hosts'],
    ['esdb://user@node', 'user:password@'],
    ['esdb://user:pa:ss@node', '%3A'],
    ['esdb://user:100%@node', '%25'],
    ['esdb://node?tls', 'tls=value'],
    ['esdb://node?tls=yes', 'true or false'],
    ['esdb://node?tls=false?x=1', 'question mark'],
    ['esdb://node?tslCAFile=x', "'tslCAFile'"],
    ['esdb://node?defaultDeadline=10s', 'whole number'],
    ['esdb://node?keepAliveInterval=500', '10000'],
    ['esdb://node?nodePreference=follower', 'leader'],
    ['esdb://node?tlsVerifyCert=false', 'tlsCAFile'],
    ['esdb://node?tlsCAFile=/no/such/file', 'ENOENT'],
    ['esdb://node?tls=false&tlsCAFile=x', 'tls=false'],
    ['esdb://node?userCertFile=x', 'together'],
  ])('%p is refused in one line that names the variable', (text, reason) => {
    const problem = problemOf(text);
    expect(problem).toMatch(/^EVENTSTORE_CONNECTION_STRING .+$/);
    expect(problem).toContain(reason);
  });

  it.each([
    'esdb://u:hidden@',
    'esdb://u:hidden@n?x=1',
    'esdb://u:xyzzy:plugh@n',
    'htp://u:hidden@n',
    'esdb://u:hidden%@n',
  ])('never shows its password: %s', (text) => {
    expect(problemOf(text)).not.toMatch(/hidden|xyzzy|plugh/);
  });

  describe('with files', () => {
    let folder: string;
    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), 'connection-'));
      for (const name of ['ca', 'cert', 'key']) writeFileSync(join(folder, name), name);
    });
    afterAll(() => rmSync(folder, { recursive: true }));

    it('loads them', () => {
      const path = (name: string): string => encodeURIComponent(join(folder, name));
      const text = `esdb://n?tlsCAFile=${path('ca')}&userCertFile=${path('cert')}&userKeyFile=${path('key')}`;
      const { rootCertificate, userCertificate } = readConnectionString(text);
      expect(rootCertificate?.toString()).toBe('ca');
      expect(userCertificate?.certificate.toString()).toBe('cert');
      expect(userCertificate?.key.toString()).toBe('key');
    });
  });
});
