import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hashOf, lineOf, newApiKey, parseApiKeys } from '../../src/adapters/access/api-keys.js';
import { runCli } from '../support/cli.js';
import { RestClient } from '../support/http.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

describe('a service that bounds its callers', () => {
  const folder = temporaryFolder();
  const [ops, other, ana] = [newApiKey(), newApiKey(), newApiKey()];
  let service: Service;
  let client: RestClient;
  beforeAll(async () => {
    const file = join(folder.path, 'keys');
    const operator = { id: 'ops', role: 'operator', devices: [] } as const;
    const lines = [
      lineOf(operator, ops),
      lineOf(operator, other),
      lineOf({ id: 'ops', role: 'analyst', devices: [] }, ana),
    ];
    writeFileSync(file, lines.join('\n'));
    service = await startService({
      DATA_DIR: join(folder.path, 'data'),
      API_KEYS_FILE: file,
      // So that a slow machine does not earn a second request.
      MAX_REQUESTS_PER_SECOND_COUNT: '1',
    });
    client = new RestClient(service.url);
  });
  afterAll(async () => {
    await service.stop();
    folder.remove();
  });

  it('answers 429 beyond, to the caller by whichever of its keys, and to nobody else', async () => {
    const ask = (key: string) => client.get('/state/lamp-1', { 'x-api-key': key });
    const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => ask(index % 2 ? ops : other)));
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThan(0);
    for (const { headers, body } of refused) {
      expect(headers.get('retry-after')).toBe('1');
      expect(body).toMatchObject({ code: 429, message: expect.stringContaining('Too many requests') });
    }
    expect(answers.filter(({ status }) => status === 404).length).toBe(20 - refused.length);
    expect((await ask(ana)).status).toBe(404);
    expect((await ask('wrong')).status).toBe(401);
    expect((await client.get('/health/ready', { 'x-api-key': ops })).status).toBe(200);
  });

  it('takes the caller again when its second is over', async () => {
    let answer = await client.get('/metrics', { 'x-api-key': ops });
    while (answer.status === 429) answer = await client.get('/metrics', { 'x-api-key': ops });
    expect(answer.status).toBe(200);
    expect(answer.text).toMatch(/^replica_limited_total\{edge="http",limit="rate"\} [1-9]/m);
  });
});

describe('a key of api-key create', () => {
  it('is shown once, and its line has the hash that lets it in', async () => {
    const args = ['api-key', 'create', '--role', 'component', '--devices', 'lamp-*,hub', '--id', 'panel'];
    const { code, stdout, stderr } = await runCli({}, ...args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const [key = '', line = '', ...rest] = stdout.split('\n');
    expect(rest).toEqual(['']);
    expect(line).not.toContain(key);
    const caller = { id: 'panel', role: 'component', devices: ['lamp-*', 'hub'] };
    expect([...parseApiKeys(line)]).toEqual([[hashOf(key), caller]]);
  });

  it('is not made for what is no caller', async () => {
    const { code, stdout, stderr } = await runCli({}, 'api-key', 'create', '--role', 'device');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('exactly one of devices');
  });
});
