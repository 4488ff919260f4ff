import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { runCli } from '../support/cli.js';
import { RestClient, until } from '../support/http.js';
import { describeWithKafka } from '../support/kafka.js';
import {
  countMessages,
  kafkaClient,
  lagOf,
  prepareCommands,
  produceAll,
  readEvents,
} from '../support/kafka-run.js';
import { sqliteRunStore } from '../support/run-store.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

/** What docs/operations.md says of backups, done. */

const folders: { remove: () => void }[] = [];
afterEach(() => folders.splice(0).forEach((folder) => folder.remove()));

function folder(): string {
  const made = temporaryFolder();
  folders.push(made);
  return made.path;
}

/** A folder with the backup alone. */
function restored(backup: string): string {
  const dataDir = join(folder(), 'data');
  mkdirSync(dataDir);
  copyFileSync(backup, join(dataDir, 'events.db'));
  return dataDir;
}

describe('device-state-replica backup', () => {
  it('copies what a running service has recorded, and that is what a service of the copy shows', async () => {
    const dataDir = folder();
    const backup = join(folder(), 'events.db');
    const service = await startService({ DATA_DIR: dataDir });
    const rest = new RestClient(service.url);
    const accepted = Array.from({ length: 8 }, () => 0);
    let isOver = false;
    const writers = accepted.map(async (_, index) => {
      while (!isOver) {
        const { status, body } = await rest.report(`lamp-${index}`, { n: accepted[index] ?? 0 });
        expect(status).toBe(200);
        accepted[index] = Number(body['version']);
      }
    });
    await until('there is something', () => accepted.every((version) => version > 20));
    const before = [...accepted];
    const { code, stdout, stderr } = await runCli({ DATA_DIR: dataDir }, 'backup', '--out', backup);
    isOver = true;
    await Promise.all(writers);
    await service.kill();
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const count = Number(/^Backed up: (\d+) events to /.exec(stdout)?.[1]);
    expect(readdirSync(join(backup, '..'))).toEqual(['events.db']);

    const again = await startService({ DATA_DIR: restored(backup) });
    const shown = new RestClient(again.url);
    let sum = 0;
    for (const [index, least] of before.entries()) {
      const { body } = await shown.get(`/state/lamp-${index}`);
      const version = Number(body['version']);
      expect(version).toBeGreaterThanOrEqual(least);
      // The service of before is ahead, and what both have is the same.
      expect(version).toBeLessThanOrEqual(accepted[index] ?? 0);
      expect(body).toMatchObject({ state: { reported: { n: version - 1 } } });
      sum += version;
    }
    expect(sum).toBe(count);
    expect((await shown.report('lamp-0', { n: -1 })).status).toBe(200);
    expect(await again.stop()).toBe(0);
  });

  it('says in one line what is wrong, and leaves what was there', async () => {
    const dataDir = folder();
    const there = join(folder(), 'events.db');
    writeFileSync(there, 'of before');
    const run = async (...args: string[]): Promise<[unknown, string]> => {
      const { code, stderr } = await runCli({ DATA_DIR: dataDir }, 'backup', ...args);
      return [code, stderr];
    };
    expect(await run()).toEqual([2, 'device-state-replica: --out is missing; see --help\n']);
    expect(await run('--out', dataDir)).toEqual([2, `device-state-replica: --out: ${dataDir} is a folder\n`]);
    expect(await run('--out', there)).toEqual([
      1,
      `device-state-replica: DATA_DIR: there is no ${join(dataDir, 'events.db')}\n`,
    ]);
    writeFileSync(
      join(dataDir, 'events.db'),
      'no database, but long enough to be taken for the head of one'.repeat(9),
    );
    const [code, line] = await run('--out', there);
    expect(code).toBe(1);
    expect(line).toMatch(
      /^device-state-replica: DATA_DIR: .*is not an event store: the file is no database\n$/,
    );
    expect(readFileSync(there, 'utf8')).toBe('of before');
    expect(readdirSync(join(there, '..'))).toEqual(['events.db']);
    const elsewhere = await runCli(
      { EVENTSTORE_CONNECTION_STRING: 'esdb://127.0.0.1:2113?tls=false' },
      'backup',
      '--out',
      there,
    );
    expect([elsewhere.code, elsewhere.stderr]).toEqual([
      2,
      expect.stringContaining('has backups of its own'),
    ]);
    expect(existsSync(`${there}-wal`)).toBe(false);
  });
});

describeWithKafka('a service that is restored from a backup, with the offsets set back', (brokers) => {
  it('records again what came after it, and nothing twice', async () => {
    const kafka = kafkaClient(brokers);
    const prefix = `backup-${randomUUID().slice(0, 8)}`;
    const topic = `${prefix}.update`;
    const dataDir = folder();
    const backup = join(folder(), 'events.db');
    const start = (DATA_DIR: string): Promise<Service> =>
      startService({
        DATA_DIR,
        KAFKA_BROKERS: brokers,
        TOPIC_PREFIX: prefix,
        KAFKA_GROUP_ID: prefix,
        KAFKA_PARTITION_COUNT: '3',
      });
    const isRead = async (): Promise<boolean> => (await lagOf(kafka, prefix, topic)) === 0;
    const all = prepareCommands({ count: 2000, devices: 20 });
    let service = await start(dataDir);
    await produceAll(kafka, topic, all.slice(0, 1000));
    await until('the first half is read', isRead);
    const time = Date.now();
    expect((await runCli({ DATA_DIR: dataDir }, 'backup', '--out', backup)).code).toBe(0);
    await produceAll(kafka, topic, all.slice(1000));
    await until('the second half is read', isRead);
    await service.kill();

    const admin = kafka.admin();
    await admin.connect();
    // Killed, it is a member still until its session has timed out; offsets are set where nobody is.
    await until('the group is empty', async () => {
      const { groups } = await admin.describeGroups([prefix]);
      return groups[0]?.state === 'Empty';
    });
    // A minute before, as clocks differ: what is read twice is recognised.
    const partitions = await admin.fetchTopicOffsetsByTimestamp(topic, time - 60_000);
    await admin.setOffsets({ groupId: prefix, topic, partitions });
    await admin.disconnect();
    expect(await isRead()).toBe(false);

    const newDir = restored(backup);
    service = await start(newDir);
    await until('all is read', isRead);
    expect(await service.stop()).toBe(0);
    const tokens = (await readEvents((await sqliteRunStore(newDir)).open())).map(({ token }) => token);
    const wanted = new Set(all.filter(({ expected }) => expected === 'accepted').map(({ token }) => token));
    expect(new Set(tokens)).toEqual(wanted);
    expect(await countMessages(kafka, [`${prefix}.update.accepted`])).toBeGreaterThan(wanted.size);
  });
});
