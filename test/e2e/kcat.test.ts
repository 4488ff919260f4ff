import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execFile, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { until } from '../support/http.js';
import { describeWithKafka } from '../support/kafka.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

const isThere = spawnSync('kcat', ['-V']).error === undefined;

function suite(brokers: string): void {
  const prefix = `kcat-${randomUUID().slice(0, 8)}`;
  const folder = temporaryFolder();
  let service: Service;
  beforeAll(async () => {
    service = await startService({
      DATA_DIR: folder.path,
      KAFKA_BROKERS: brokers,
      TOPIC_PREFIX: prefix,
      KAFKA_GROUP_ID: prefix,
      KAFKA_PARTITION_COUNT: '2',
    });
  });
  afterAll(async () => {
    await service.stop();
    folder.remove();
  });

  function kcat(args: readonly string[], input = ''): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = execFile('kcat', ['-b', brokers, ...args], { timeout: 90_000 }, (error, stdout) =>
        error === null ? resolve(stdout) : reject(new Error(`kcat: ${error.message}`)),
      );
      child.stdin?.end(input);
    });
  }

  const read = (channel: string): Promise<string> =>
    kcat(['-C', '-t', `${prefix}.${channel}`, '-o', 'beginning', '-e', '-q', '-f', '%k|%h|%s\\n']);

  async function lines(channel: string, count: number): Promise<string[]> {
    let all: string[] = [];
    await until(`${count} lines of ${channel}`, async () => {
      all = (await read(channel)).split('\n').filter((line) => line !== '');
      return all.length >= count;
    });
    return all;
  }

  it.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'])(
    'sends updates compressed by %s and reads the answers',
    async (codec) => {
      const body = { state: { reported: { codec, text: 'x'.repeat(500) } } };
      const input = Array.from({ length: 20 }, () => `kcat-${codec}:${JSON.stringify(body)}\n`).join('');
      await kcat(
        ['-P', '-t', `${prefix}.update`, '-K', ':', '-z', codec, '-H', 'correlation-id=from-kcat'],
        input,
      );

      const own = (all: readonly string[]): string[] =>
        all.filter((line) => line.startsWith(`kcat-${codec}|`));
      let accepted: string[] = [];
      await until('all are answered', async () => {
        accepted = own(await lines('update.accepted', 1));
        return accepted.length >= 20;
      });
      const versions = accepted.map(
        (line) => (JSON.parse(line.slice(line.indexOf('|{') + 1)) as { version: number }).version,
      );
      expect(versions).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
      expect(accepted[0]).toContain('correlation-id=from-kcat');
      expect(accepted[0]).toContain(`ce_subject=kcat-${codec}`);
    },
  );

  it('sends what is wrong and reads why', async () => {
    await kcat(['-P', '-t', `${prefix}.update`, '-k', 'wrong'], 'no JSON');
    const [rejected] = await lines('update.rejected', 1);
    expect(rejected).toContain('"code":400,"message":"Invalid JSON"');
    await kcat(['-P', '-t', `${prefix}.update`], 'no key');
    const [letter] = await lines('dead-letter', 1);
    expect(letter).toContain('reason=No key');
    expect(letter?.endsWith('|no key')).toBe(true);
  });
}

if (isThere) describeWithKafka('kcat as producer and consumer', suite);
else
  describe.skip('kcat as producer and consumer (skipped: kcat is not installed)', () => suite('127.0.0.1:0'));
