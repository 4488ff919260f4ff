import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { openEventStoreDb } from '../../src/adapters/event-store/eventstoredb/eventstoredb-event-store.js';
import type { EventStore } from '../../src/application/ports/event-store.js';
import {
  append,
  appendOne,
  brief,
  collect,
  newEvent,
  newEvents,
  newStream,
} from '../contracts/event-store.support.js';
import {
  type EventStoreServer,
  ServerStorage,
  startEventStoreServer,
} from '../support/eventstore-server/index.js';
import { withFaultyStore } from './eventstoredb.support.js';

describe('a cluster of EventStoreDB', () => {
  let nodes: EventStoreServer[];
  let store: EventStore;

  /** All nodes tell of the same leader; they share their storage, as if replication took no time. */
  const elect = (leader: number): void => {
    const members = nodes.map(({ port }, index) => ({
      host: '127.0.0.1',
      port,
      state: index === leader ? ('leader' as const) : ('follower' as const),
    }));
    for (const node of nodes) node.members = members;
  };
  const appendsOf = (): number[] => nodes.map(({ stats }) => stats.appends);

  beforeEach(async () => {
    const storage = new ServerStorage();
    nodes = await Promise.all([1, 2, 3].map(() => startEventStoreServer({ storage })));
    elect(1);
    const hosts = nodes.map(({ port }) => `127.0.0.1:${port}`).join(',');
    store = openEventStoreDb({ connectionString: `esdb://${hosts}?tls=false`, streamPrefix: 'contract-' });
  });
  afterEach(async () => {
    await store.close();
    await Promise.all(nodes.map((node) => node.stop()));
  });

  it('is asked for its leader, who gets the appends', async () => {
    expect(brief(await appendOne(store, newStream(), -1, newEvents(1)))).toBe('appended 0');
    expect(appendsOf()).toEqual([0, 1, 0]);
  });

  it('goes on with the next leader when a node is lost', async () => {
    const stream = newStream();
    expect(brief(await appendOne(store, stream, -1, newEvents(1)))).toBe('appended 0');
    await nodes[1]?.stop();
    elect(2);
    const event = newEvent();
    let answer = '';
    while (answer !== 'appended 1') {
      answer = brief((await store.append([append(stream, 0, event)]))[0]);
      expect(['appended 1', 'failed unavailable', 'failed outcome-unknown']).toContain(answer);
    }
    expect(await collect(store.readStream(stream))).toHaveLength(2);
    expect(appendsOf()[2]).toBe(1);
  });

  it('follows the node that says who the leader is now', async () => {
    const stream = newStream();
    await appendOne(store, stream, -1, newEvents(1));
    nodes[1]?.faults.notLeader(1, { host: '127.0.0.1', port: nodes[0]?.port ?? 0 });
    const event = newEvent();
    let answer = '';
    while (answer !== 'appended 1') answer = brief((await store.append([append(stream, 0, event)]))[0]);
    expect(appendsOf()[0]).toBe(1);
  });

  it('is unavailable, and says so, while no node answers', async () => {
    await Promise.all(nodes.map((node) => node.stop()));
    expect(brief(await appendOne(store, newStream(), -1, newEvents(1)))).toBe('failed unavailable');
    expect(await store.health()).toMatch(/^EVENTSTORE_CONNECTION_STRING: event store .+: Failed to discover/);
  });
});

describe('a connection to EventStoreDB', () => {
  const at = withFaultyStore();

  it('with TLS to a server without it is unavailable, and says why', async () => {
    const secure = at.open({ connectionString: at.server.connectionString.replace('tls=false', 'tls=true') });
    expect(brief(await appendOne(secure, newStream(), -1, newEvents(1)))).toMatch(
      /^failed (unavailable|outcome)/,
    );
    expect(await secure.health()).toMatch(/^EVENTSTORE_CONNECTION_STRING: event store .+: .+$/);
    await secure.close();
  });

  it('with credentials and without TLS works, and warns', async () => {
    const open = at.open({ connectionString: at.server.connectionString.replace('//', '//admin:s3cret@') });
    expect(brief(await appendOne(open, newStream(), -1, newEvents(1)))).toBe('appended 0');
    expect(at.server.stats.batchAppends).toBe(1);
    expect(at.lines.filter((line) => line.includes('Credentials are not sent'))).toHaveLength(1);
    expect(at.lines.join('')).not.toContain('s3cret');
    await open.close();
  });
});
