import { afterEach, describe, expect, it } from '@jest/globals';
import {
  DeviceSignals,
  followDevice,
  type Followed,
  type FollowPosition,
  parseFollowId,
} from '../../../src/application/follow-device.js';
import { EventStoreError } from '../../../src/application/ports/event-store.js';
import { CommandLog } from '../../support/command-log.js';
import { ReplicaProcess } from '../../support/replica-process.js';

const temp = (value: number) => ({ state: { reported: { temp: value } } });
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('parseFollowId', () => {
  it.each(['0.0', '17.3', '999999999999999.1'])('reads %s', (id) => {
    const [revision, part] = id.split('.').map(Number);
    expect(parseFollowId(id)).toEqual({ revision, part });
  });

  it.each(['', '1', '1.4', '-1.0', '1.0 ', ' 1.0', '1.00', 'a.0', '1.0\n', '9999999999999999.0'])(
    'does not know %j',
    (id) => {
      expect(parseFollowId(id)).toBeNull();
    },
  );
});

/** A follower that gathers what it gets, and one process that writes. */
class Following {
  readonly service = new ReplicaProcess();
  readonly updates = new CommandLog();
  private readonly deletes = new CommandLog('delete');
  readonly errors: unknown[] = [];
  readonly signals = new DeviceSignals(this.service.store, (error) => this.errors.push(error));
  private readonly aborts: AbortController[] = [];

  async send(device: string, ...bodies: object[]): Promise<void> {
    const from = this.updates.messages.length;
    for (const body of bodies) this.updates.send(device, body);
    await this.service.deliver(this.updates.batch(from));
  }

  async delete(device: string): Promise<void> {
    await this.service.deliver([this.deletes.send(device, null)]);
  }

  start(device: string, from: FollowPosition | null = null) {
    const abort = new AbortController();
    this.aborts.push(abort);
    const got: Followed[] = [];
    const ended = (async () => {
      const { store, replicas } = this.service;
      for await (const item of followDevice(store, replicas, this.signals, device, from, abort.signal)) {
        got.push(item);
      }
    })();
    const has = async (count: number): Promise<Followed[]> => {
      while (got.length < count) await turn();
      return got;
    };
    return { got, has, ended, abort };
  }

  async stop(): Promise<void> {
    for (const abort of this.aborts) abort.abort();
    await this.signals.stop();
  }
}

describe('followDevice', () => {
  let following = new Following();
  afterEach(async () => {
    await following.stop();
    following = new Following();
  });

  /** Waits until a follower that is up to date would have got what comes next. */
  async function settled(): Promise<void> {
    for (let n = 0; n < 20; n++) await turn();
  }

  it('begins with what comes from now on, of this device alone', async () => {
    await following.send('a', temp(1), temp(2));
    const follower = following.start('a');
    await settled();
    expect(follower.got).toEqual([]);

    await following.send('b', temp(7));
    await following.send('a', { state: { reported: { temp: 3 }, desired: { temp: 4 } } });

    const got = await follower.has(3);
    expect(got.map(({ id, channel }) => [id, channel])).toEqual([
      ['3.0', 'update.accepted'],
      ['3.1', 'update.delta'],
      ['3.2', 'update.documents'],
    ]);
  });

  it('shows what the topics got, byte for byte', async () => {
    const follower = following.start('a');
    await settled();
    await following.send('a', temp(1), temp(1), { state: null }, { state: {} });
    await following.delete('a');
    await following.send('a', { state: { desired: { x: 1 } }, clientToken: 't' });

    const sent = following.service.published.filter(({ value }) => value !== null);
    const got = await follower.has(sent.length);

    expect(got.map(({ channel, document }) => [channel, document])).toEqual(
      sent.map(({ channel, value }) => [channel, value?.toString()]),
    );
    expect(got.map(({ id }) => id)).toEqual([...new Set(got.map(({ id }) => id))]);
  });

  it('goes on after every id without a gap or a repeat', async () => {
    const whole = following.start('a');
    await settled();
    await following.send('a', temp(1), { state: { reported: { x: 1 }, desired: { x: 2 } } }, temp(1));
    await following.delete('a');
    await following.send('a', temp(2));
    const sent = following.service.published.filter(({ value }) => value !== null).length;
    const all = (await whole.has(sent)).slice(0, sent);

    for (const [index, { id }] of all.entries()) {
      const resumed = following.start('a', parseFollowId(id));
      expect(await resumed.has(all.length - index - 1)).toEqual(all.slice(index + 1));
    }
    await following.send('a', temp(9));
    const last = following.start('a', parseFollowId(all.at(-1)?.id ?? ''));
    expect(await last.has(3)).toEqual((await whole.has(all.length + 3)).slice(-3));
  });

  it('takes a place beyond the end of the log for its end', async () => {
    await following.send('a', temp(1));
    const follower = following.start('a', { revision: 50, part: 2 });
    await settled();
    await following.send('a', temp(2));

    expect((await follower.has(3)).map(({ id }) => id)).toEqual(['1.0', '1.1', '1.2']);
  });

  it('takes a place in a log that does not exist yet', async () => {
    const follower = following.start('a', { revision: 0, part: 0 });
    await settled();
    await following.send('a', temp(2));

    expect((await follower.has(3)).map(({ id }) => id)).toEqual(['0.0', '0.1', '0.2']);
  });

  it('misses nothing while the device grows as it reads', async () => {
    const followers = Array.from({ length: 4 }, () => following.start('a'));
    await settled();
    for (let n = 0; n < 60; n++) {
      // One at a time and many together, with readers in between at whatever place.
      await following.send('a', ...Array.from({ length: 1 + (n % 5) }, (_, m) => temp(n * 10 + m)));
      if (n % 7 === 0) await turn();
    }
    const sent = following.service.published.length;

    for (const follower of followers) {
      const got = await follower.has(sent);
      expect(got).toHaveLength(sent);
      expect(got.map(({ id }) => id)).toEqual(followers[0]?.got.map(({ id }) => id));
    }
  });

  it('ends when it is aborted, while it waits and while it reads', async () => {
    const waiting = following.start('a');
    await settled();
    waiting.abort.abort();
    await waiting.ended;

    await following.send('a', temp(1), temp(2));
    const reading = following.start('a', { revision: 0, part: 0 });
    await reading.has(1);
    reading.abort.abort();
    await reading.ended;
  });

  it('fails where the device’s log cannot be read', async () => {
    following.service.store.unreadable.set('deviceState-a', 'corrupt');
    const follower = following.start('a');

    await expect(follower.ended).rejects.toMatchObject({ code: 'corrupt' });
  });

  it('stays while the store is away, wherever it has come to, and misses and repeats nothing', async () => {
    const { store } = following.service;
    const followers = [following.start('a'), following.start('a', { revision: -1, part: 3 })];
    await settled();
    const read = store.readStream.bind(store);
    let isAway = true;
    let failedCount = 0;
    // It breaks before the first event, or behind it.
    store.readStream = async function* (stream, options) {
      let left = failedCount % 2;
      for await (const event of read(stream, options)) {
        if (isAway && left-- === 0) {
          failedCount++;
          throw new EventStoreError('unavailable', 'the store is away');
        }
        yield event;
      }
    };
    await following.send('a', temp(1), { state: { desired: { temp: 2 } } }, temp(2));
    while (failedCount < 6) await turn();
    const late = following.start('a', { revision: 0, part: 1 });
    while (failedCount < 12) await turn();
    isAway = false;

    const sent = following.service.published;
    for (const follower of [...followers, late])
      await follower.has(follower === late ? sent.length - 2 : sent.length);
    await settled();
    for (const { got } of followers) {
      expect(got.map(({ document }) => document)).toEqual(sent.map(({ value }) => String(value)));
    }
    expect(late.got).toEqual(followers[0]?.got.slice(2));
    expect(following.errors.length).toBeGreaterThanOrEqual(12);
  });

  it('asks the store for nothing more when nobody follows any longer', async () => {
    const first = following.start('a');
    await settled();
    first.abort.abort();
    await first.ended;
    const second = following.start('a');
    await settled();
    await following.send('a', temp(1));

    expect(await second.has(3)).toHaveLength(3);
    expect(following.errors).toEqual([]);
  });
});

describe('DeviceSignals', () => {
  it('come back after an error, and wake those who may have missed something', async () => {
    const service = new ReplicaProcess();
    let fails = 1;
    const { store } = service;
    const subscribe = store.subscribe.bind(store);
    store.subscribe = (options) => {
      if (fails-- > 0) throw new Error('the connection was lost');
      return subscribe(options);
    };
    const errors: unknown[] = [];
    const signals = new DeviceSignals(store, (error) => errors.push(error));
    let woken = 0;
    const unwatch = signals.watch('a', () => woken++);

    const deadline = Date.now() + 60_000;
    while (woken === 0 && Date.now() < deadline) await turn();

    expect(woken).toBeGreaterThan(0);
    expect(errors).toHaveLength(1);
    unwatch();
    await signals.stop();
  });
});
