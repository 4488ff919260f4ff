import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { lineOf, newApiKey } from '../../src/adapters/access/api-keys.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

/**
 * The OpenAPI document held against the service by a property-based tester, Schemathesis: for each operation thousands
 * of requests that the document allows and that it does not, and sequences of them.
 */
const TESTER = process.env['API_TESTER'] ?? resolve('.venv/bin/schemathesis');
const HOOKS = resolve('test/support/api-tester');
/** Streams do not end; test/e2e/events.test.ts and fleet-events.test.ts follow them. */
const ENDLESS = 'events$';
/** API_TESTER_SEED repeats a run. */
const seed = Number(process.env['API_TESTER_SEED'] ?? Math.floor(Math.random() * 2 ** 32));
/** So many requests for an operation in a phase: about half a minute on one core. */
const EXAMPLES = process.env['API_TESTER_EXAMPLES'] ?? '12';

interface Outcome {
  readonly code: number | null;
  readonly text: string;
}

function test(url: string, folder: string, ...options: string[]): Promise<Outcome> {
  const fixed = [
    ...['--seed', String(seed), '--max-examples', EXAMPLES, '--exclude-path-regex', ENDLESS],
    ...['--continue-on-failure', '--no-color', '--generation-database', 'none', '--request-timeout', '30'],
    ...['--suppress-health-check', 'too_slow', '--warnings', 'off'],
  ];
  const child = spawn(TESTER, ['run', `${url}/docs-json`, ...fixed, ...options], {
    cwd: folder,
    env: { ...process.env, PYTHONPATH: HOOKS, PYTHONDONTWRITEBYTECODE: '1', SCHEMATHESIS_HOOKS: 'hooks' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return new Promise((done, fail) => {
    child.once('error', fail);
    child.once('close', (code) => done({ code, text }));
  });
}

const isRun = existsSync(TESTER) || process.env['REQUIRE_API_TESTER'] === '1';
const describeTester = isRun ? describe : describe.skip;

describeTester(`the API, by its own document${isRun ? '' : ` (skipped: there is no ${TESTER})`}`, () => {
  const folder = temporaryFolder();
  const key = newApiKey();
  const keys = join(folder.path, 'keys');
  let services: Service[] = [];

  beforeAll(async () => {
    writeFileSync(keys, lineOf({ id: 'ops', role: 'operator', devices: [] }, key));
    const common = { AWS_SHADOW_TOPICS: 'on', MQTT: 'off' };
    services = await Promise.all([
      startService({ ...common, DATA_DIR: join(folder.path, 'open') }),
      startService({ ...common, DATA_DIR: join(folder.path, 'guarded'), API_KEYS_FILE: keys }),
    ]);
    console.log(`API_TESTER_SEED=${seed}`);
  });
  afterAll(async () => {
    await Promise.all(services.map((service) => service.stop()));
    folder.remove();
  });

  it.each([
    ['without authentication', 0, []],
    ['with it, which it asks of every operation', 1, ['--header', `Authorization: Bearer ${key}`]],
  ])(
    'has no answer that it does not describe, %s',
    async (_, which, options) => {
      const service = services[which];
      if (service === undefined) throw new Error('No service');
      const { code, text } = await test(service.url, folder.path, ...options);
      // What it says of a failure is what is of use.
      expect(code === 0 ? '' : text).toBe('');
      expect(text).toMatch(/\d{3,} generated/);
      expect((await fetch(`${service.url}/health/live`)).status).toBe(200);
      expect(service.lines.filter((line) => line.includes('"level":"error"'))).toEqual([]);
    },
    300_000,
  );
});
