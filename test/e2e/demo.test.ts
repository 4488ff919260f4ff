import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { Kafka, logLevel } from 'kafkajs';
import { Mailbox } from '../../demo/mailbox.js';
import { describeWithKafka } from '../support/kafka.js';
import { freePorts } from '../support/ports.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const LIMIT_MS = 300_000;

interface Run {
  readonly code: number | string | null | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the demo as `npm run demo` does once the service is built, which `npm test` has seen to. */
function runDemo(environment: Record<string, string>, ...args: string[]): Promise<Run> {
  const { KAFKA_BROKERS: _brokers, ...inherited } = process.env;
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['--import', 'tsx', 'demo/demo.ts', ...args],
      { cwd: ROOT, env: { ...inherited, ...environment }, timeout: LIMIT_MS - 20_000 },
      (error, stdout, stderr) => resolve({ code: error === null ? 0 : error.code, stdout, stderr }),
    );
  });
}

/** Every message of both flows, in their order. */
function expectBothFlows({ code, stdout, stderr }: Run, separator: string): void {
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const path = (...parts: string[]): string => parts.join(separator).replaceAll(/[.[\]]/g, '\\$&');
  const steps = [
    `thermostat → \\S*${path('update')} .*"reported":\\{"temperature":18.5`,
    `replica    → \\S*${path('update', 'accepted')} .*"version":1`,
    `component  → \\S*${path('update')} .*"desired":\\{"target":21`,
    `replica    → \\S*${path('update', 'accepted')} .*"version":2`,
    `replica    → \\S*${path('update', 'delta')} .*"state":\\{"target":21,"mode":"heat"\\}.*"version":2`,
    `replica    → \\S*${path('update', 'accepted')} .*"version":3`,
    `replica    → \\S*${path('update', 'delta')} .*"state":\\{\\}.*"version":3`,
    `replica    → \\S*${path('update', 'delta')} .*"changed":\\{"reported":\\{"temperature":19.25\\}\\}`,
    `component  → \\S*${path('get')}`,
    `replica    → \\S*${path('get', 'accepted')} .*"reported":\\{"temperature":19.25`,
    `replica    → \\S*${path('get', 'rejected')} .*"code":404`,
    `replica    → \\S*${path('update', 'accepted')} .*"version":6`,
    `replica    → \\S*${path('update', 'delta')} .*"state":\\{"target":22.5,"mode":"eco"\\}`,
    `replica    → \\S*${path('get', 'accepted')} .*"delta":\\{"target":22.5,"mode":"eco"\\}`,
    `replica    → \\S*${path('update', 'delta')} .*"state":\\{\\}.*"version":7`,
    'Done: both flows',
  ];
  expect(stdout).toMatch(new RegExp(steps.join('[^]*?\\n.*?')));
  // Not a terminal: no colours.
  expect(stdout).not.toContain('\u001b');
}

describe('the demo, embedded', () => {
  it(
    'shows both flows, a read and an offline device, and leaves nothing behind',
    async () => {
      const temporary = mkdtempSync(join(tmpdir(), 'demo-test-'));
      try {
        const run = await runDemo({ TMPDIR: temporary });
        expectBothFlows(run, '/');
        expect(run.stdout).toContain('"metadata":{…}');
        expect(readdirSync(temporary).filter((name) => name.startsWith('device-state-replica'))).toEqual([]);
      } finally {
        rmSync(temporary, { recursive: true, force: true });
      }
    },
    LIMIT_MS,
  );

  it(
    'shows the metadata too when asked to',
    async () => {
      const { code, stdout } = await runDemo({}, '--full');
      expect(code).toBe(0);
      expect(stdout).toMatch(/"metadata":\{"reported":\{"temperature":\{"timestamp":\d{13}\}/);
    },
    LIMIT_MS,
  );

  it(
    'ends with the one line of the service when that does not start',
    async () => {
      const [port = 0] = await freePorts(1);
      const run = await runDemo({ KAFKA_BROKERS: `127.0.0.1:${port}`, KAFKA_CONNECT_TIMEOUT_MS: '500' });
      expect(run.code).toBe(1);
      expect(run.stderr).toMatch(
        /^demo: The service ended \(code 1\): device-state-replica: KAFKA_BROKERS: .*\n$/,
      );
    },
    LIMIT_MS,
  );

  it(
    'ends with the line of a wrong setting',
    async () => {
      const run = await runDemo({ KAFKA_BROKERS: 'nonsense' });
      expect(run).toMatchObject({ code: 1, stdout: '' });
      expect(run.stderr).toMatch(/^demo: KAFKA_BROKERS must be host:port/);
    },
    LIMIT_MS,
  );
});

describeWithKafka('the demo, on Kafka', (brokers) => {
  it(
    'shows the same, and leaves no topic and no group behind',
    async () => {
      const run = await runDemo({ KAFKA_BROKERS: brokers });
      expectBothFlows(run, '.');
      const prefix = /state-demo-[0-9a-f]{6}/.exec(run.stdout)?.[0] ?? 'the demo names its prefix';
      const admin = new Kafka({ brokers: [brokers], logLevel: logLevel.NOTHING }).admin();
      await admin.connect();
      try {
        expect((await admin.listTopics()).filter((topic) => topic.startsWith(prefix))).toEqual([]);
        const { groups } = await admin.listGroups();
        expect(groups.filter(({ groupId }) => groupId.startsWith(prefix))).toEqual([]);
      } finally {
        await admin.disconnect();
      }
    },
    LIMIT_MS,
  );
});

describe('a participant of the demo', () => {
  it('says in one line what it waited for in vain', async () => {
    const mailbox = new Mailbox('thermostat');
    mailbox.put('update.delta', { version: 1, timestamp: 1 });
    await expect(
      mailbox.take('update.delta', 'the delta of version 2', ({ version }) => version === 2, 20),
    ).rejects.toThrow('thermostat waited 20 ms for the delta of version 2, and it did not come');
  });

  it('stops waiting when the service has ended', async () => {
    const mailbox = new Mailbox('component');
    const waiting = mailbox.take('update.delta', 'a delta', () => true, 60_000);
    mailbox.fail(new Error('The service ended (code 1)'));
    await expect(waiting).rejects.toThrow('The service ended');
    await expect(mailbox.take('get.accepted', 'an answer', () => true, 60_000)).rejects.toThrow(
      'The service ended',
    );
  });
});
