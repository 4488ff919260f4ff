import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lineOf, newApiKey } from '../../src/adapters/access/api-keys.js';
import { RestClient } from '../support/http.js';
import { OidcIssuer } from '../support/oidc-issuer.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

describe('a service with an OpenID Connect issuer', () => {
  const folder = temporaryFolder();
  const key = newApiKey();
  let issuer: OidcIssuer;
  let service: Service;
  let client: RestClient;
  beforeAll(async () => {
    issuer = await OidcIssuer.start();
    const file = join(folder.path, 'keys');
    writeFileSync(file, lineOf({ id: 'ops', role: 'operator', devices: [] }, key));
    service = await startService({
      DATA_DIR: join(folder.path, 'data'),
      API_KEYS_FILE: file,
      OIDC_ISSUER: issuer.url,
      OIDC_AUDIENCE: 'replica',
      OIDC_ROLE_CLAIM: 'roles',
    });
    client = new RestClient(service.url);
  });
  afterAll(async () => {
    await service.stop();
    await issuer.leave();
    folder.remove();
  });

  const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });

  it('lets tokens in by their roles and devices, beside keys', async () => {
    const lamp = bearer(await issuer.token({ roles: ['device'], devices: 'lamp-1' }));
    expect((await client.report('lamp-1', { a: 1 }, lamp)).status).toBe(200);
    expect((await client.get('/state/lamp-1', lamp)).status).toBe(200);
    expect((await client.get('/state/lamp-2', lamp)).status).toBe(403);
    expect((await client.update('lamp-1', { state: { desired: { a: 2 } } }, lamp)).status).toBe(403);
    const panel = bearer(await issuer.token({ roles: ['component'], devices: ['lamp-*'] }));
    expect((await client.update('lamp-1', { state: { desired: { a: 2 } } }, panel)).status).toBe(200);
    expect((await client.get('/fleet?prefix=lamp-', panel)).status).not.toBe(403);
    expect((await client.get('/fleet', panel)).status).toBe(403);
    expect((await client.get('/metrics', bearer(key))).status).toBe(200);
    expect(
      (await client.get('/state/lamp-1', { 'x-api-key': lamp['authorization']?.slice(7) ?? '' })).status,
    ).toBe(200);
  });

  it('refuses others as it refuses a wrong key', async () => {
    const wrong = await client.get('/metrics', bearer('dsr_wrong'));
    const expired = await client.get('/metrics', bearer(await issuer.token({ roles: 'operator', exp: 1 })));
    for (const { status, headers, body } of [wrong, expired]) {
      expect({ status, challenge: headers.get('www-authenticate') }).toEqual({
        status: 401,
        challenge: 'Bearer',
      });
      expect({ ...body, timestamp: 0 }).toEqual({ ...wrong.body, timestamp: 0 });
    }
  });

  it('goes on with known keys while the issuer is away, and says 503 to those that it cannot tell', async () => {
    const known = bearer(await issuer.token({ roles: 'operator' }));
    expect((await client.get('/metrics', known)).status).toBe(200);
    await issuer.leave();
    await issuer.rotate();
    const other = bearer(await issuer.token({ roles: 'operator' }));
    // Asked a moment ago, perhaps: until then no such key is known.
    let answer = await client.get('/metrics', other);
    while (answer.status === 401) answer = await client.get('/metrics', other);
    expect(answer.status).toBe(503);
    expect(answer.headers.get('retry-after')).toBe('1');
    expect(answer.body['code']).toBe(503);
    expect((await client.get('/metrics', known)).status).toBe(200);
    expect((await client.get('/metrics', bearer(key))).status).toBe(200);
    expect((await client.get('/health/live', other)).status).toBe(200);
    await issuer.listen();
    while (answer.status !== 200) answer = await client.get('/metrics', other);
    expect((await client.get('/metrics', known)).status).toBe(401);
  });
});
