import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createHmac } from 'node:crypto';
import { type JWTPayload } from 'jose';
import { type TokenOptions, Tokens } from '../../src/adapters/access/tokens.js';
import { UNAVAILABLE, UNKNOWN } from '../../src/application/ports/authenticator.js';
import { until } from '../support/http.js';
import { OidcIssuer } from '../support/oidc-issuer.js';

const OPERATOR = { role: 'operator' };
const operator = { ok: true, caller: { id: 'somebody', role: 'operator', devices: [] } };
const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('tokens of an issuer', () => {
  let issuer: OidcIssuer;
  let logged: string[];
  beforeEach(async () => {
    issuer = await OidcIssuer.start();
    logged = [];
  });
  afterEach(() => issuer.leave());

  /** Without a pause between two questions, unless one is asked for. */
  function tokensOf(options: Partial<TokenOptions> = {}): Tokens {
    const log = (facts: object, message: string): void =>
      void logged.push(`${message} ${JSON.stringify(facts)}`);
    return new Tokens(
      {
        issuer: issuer.url,
        audience: 'replica',
        roleClaim: 'role',
        devicesClaim: 'devices',
        timeoutMs: 5000,
        cooldownMs: 0,
        ...options,
      },
      { info: log, warn: log },
    );
  }

  it.each(['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'])('let in, signed by %s', async (alg) => {
    await issuer.leave();
    issuer = await OidcIssuer.start(alg);
    expect(await tokensOf().authenticate(await issuer.token(OPERATOR))).toEqual(operator);
  });

  it('have their keys fetched once', async () => {
    const tokens = tokensOf();
    const token = await issuer.token(OPERATOR);
    await Promise.all([1, 2, 3].map(() => tokens.authenticate(token)));
    expect(await tokens.authenticate(token)).toEqual(operator);
    expect(issuer.keyRequests).toBe(1);
  });

  const seconds = (): number => Math.floor(Date.now() / 1000);
  it.each<[string, () => JWTPayload]>([
    ['another issuer', () => ({ iss: 'http://127.0.0.1:1' })],
    ['another audience', () => ({ aud: 'somebody else' })],
    ['no audience', () => ({ aud: undefined })],
    ['an end that has come', () => ({ exp: seconds() - 3600 })],
    ['no end', () => ({ exp: undefined })],
    ['a beginning that is yet to come', () => ({ nbf: seconds() + 3600 })],
    ['no subject', () => ({ sub: undefined })],
    ['no role', () => ({ role: undefined })],
    ['a role that there is not', () => ({ role: 'admin' })],
    ['two roles', () => ({ role: ['analyst', 'operator'] })],
    ['a device without an id', () => ({ role: 'device' })],
    ['a device with two ids', () => ({ role: 'device', devices: ['a', 'b'] })],
    ['a device with a pattern', () => ({ role: 'device', devices: 'lamp-*' })],
    ['a component without devices', () => ({ role: 'component', devices: [] })],
    ['devices that are no text', () => ({ role: 'component', devices: [5] })],
  ])('are refused with %s', async (_, claims) => {
    const token = await issuer.token({ ...OPERATOR, ...claims() });
    expect(await tokensOf().authenticate(token)).toEqual(UNKNOWN);
  });

  it('are refused without a signature, or by another one', async () => {
    const tokens = tokensOf();
    const good = await issuer.token(OPERATOR);
    const [header = '', payload = '', signature = ''] = good.split('.');
    const none = `${encode({ alg: 'none' })}.${payload}.`;
    const keyless = `${encode({ alg: 'none', kid: issuer.kid })}.${payload}.${signature}`;
    // By what is public, taken for a secret.
    const hmacHead = encode({ alg: 'HS256', kid: issuer.kid });
    const hmac = createHmac('sha256', JSON.stringify(issuer.url)).update(`${hmacHead}.${payload}`);
    const shared = `${hmacHead}.${payload}.${hmac.digest('base64url')}`;
    const changed = `${header}.${encode({ ...(JSON.parse(Buffer.from(payload, 'base64url').toString()) as object), sub: 'x' })}.${signature}`;
    for (const token of [
      none,
      keyless,
      shared,
      changed,
      `${header}.${payload}.`,
      `${header}..${signature}`,
      'a.b.c',
    ]) {
      expect(await tokens.authenticate(token)).toEqual(UNKNOWN);
    }
    const stranger = await OidcIssuer.start();
    try {
      const forged = await stranger.token({ ...OPERATOR, iss: issuer.url }, { kid: issuer.kid });
      expect(await tokens.authenticate(forged)).toEqual(UNKNOWN);
    } finally {
      await stranger.leave();
    }
    expect(await tokens.authenticate(good)).toEqual(operator);
  });

  it.each([
    [
      { role: 'device', devices: 'lamp-1' },
      { role: 'device', devices: ['lamp-1'] },
    ],
    [
      { role: ['device', 'offline_access'], devices: ['lamp-1'] },
      { role: 'device', devices: ['lamp-1'] },
    ],
    [
      { role: 'component', devices: 'lamp-* hub' },
      { role: 'component', devices: ['lamp-*', 'hub'] },
    ],
    [{ role: 'openid analyst' }, { role: 'analyst', devices: [] }],
  ])('with %j say what the caller is', async (claims, caller) => {
    expect(await tokensOf().authenticate(await issuer.token(claims))).toEqual({
      ok: true,
      caller: { id: 'somebody', ...caller },
    });
  });

  it('cannot name the keys that they are checked by, nor where to fetch them', async () => {
    const stranger = await OidcIssuer.start();
    try {
      const keys = `${stranger.url}/keys`;
      for (const header of [
        { jku: keys },
        { x5u: keys },
        { jwk: stranger.publicJwk },
        { jku: keys, kid: issuer.kid },
      ]) {
        const forged = await stranger.token({ ...OPERATOR, iss: issuer.url }, header);
        expect(await tokensOf().authenticate(forged)).toEqual(UNKNOWN);
      }
      expect(stranger.keyRequests).toBe(0);
    } finally {
      await stranger.leave();
    }
  });

  it('may have other names for their claims', async () => {
    const tokens = tokensOf({ roleClaim: 'https://replica.example/role', devicesClaim: 'things' });
    const claims = { 'https://replica.example/role': 'component', things: ['lamp-*'] };
    expect(await tokens.authenticate(await issuer.token(claims))).toMatchObject({ ok: true });
    expect(await tokens.authenticate(await issuer.token(OPERATOR))).toEqual(UNKNOWN);
    expect(logged).toHaveLength(1);
    expect(logged[0]).toContain('https://replica.example/role must name one of');
  });

  it('by a new key of the issuer are let in, those by the old one no longer', async () => {
    const tokens = tokensOf();
    const before = await issuer.token(OPERATOR);
    expect(await tokens.authenticate(before)).toEqual(operator);
    await issuer.rotate();
    expect(await tokens.authenticate(await issuer.token(OPERATOR))).toEqual(operator);
    expect(await tokens.authenticate(before)).toEqual(UNKNOWN);
  });

  it('by a key that was taken back are refused when the keys are too old', async () => {
    const tokens = tokensOf({ maxAgeMs: -1 });
    const before = await issuer.token(OPERATOR);
    expect(await tokens.authenticate(before)).toEqual(operator);
    await issuer.rotate();
    await until('the old key is gone', async () => !(await tokens.authenticate(before)).ok);
  });

  it('that name keys which there are not do not have the issuer asked over and over', async () => {
    const tokens = tokensOf({ cooldownMs: 3_600_000 });
    expect(await tokens.authenticate(await issuer.token(OPERATOR))).toEqual(operator);
    for (const kid of ['a', 'b', 'c']) {
      expect(await tokens.authenticate(await issuer.token(OPERATOR, { kid }))).toEqual(UNKNOWN);
    }
    expect(issuer.keyRequests).toBe(1);
  });

  it('are still let in by known keys while the issuer is away; by others it cannot be told', async () => {
    const tokens = tokensOf({ maxAgeMs: -1 });
    const known = await issuer.token(OPERATOR);
    expect(await tokens.authenticate(known)).toEqual(operator);
    const other = await issuer.token(OPERATOR, { kid: 'new' });
    await issuer.leave();
    expect(await tokens.authenticate(other)).toEqual(UNAVAILABLE);
    expect(await tokens.authenticate(known)).toEqual(operator);
    expect(logged).toHaveLength(1);
    await issuer.listen();
    // The question of a moment ago may still be out.
    await until('the issuer was asked', async () => (await tokens.authenticate(other)) === UNKNOWN);
    expect(logged).toHaveLength(2);
  });

  it('cannot be told of an issuer that was never there, until it comes', async () => {
    const tokens = tokensOf();
    const token = await issuer.token(OPERATOR);
    await issuer.leave();
    expect(await tokens.authenticate(token)).toEqual(UNAVAILABLE);
    await issuer.listen();
    expect(await tokens.authenticate(token)).toEqual(operator);
  });

  it('cannot be told of an issuer that does not answer, and that is not waited for for long', async () => {
    const tokens = tokensOf({ timeoutMs: 100 });
    issuer.isStuck = true;
    expect(await tokens.authenticate(await issuer.token(OPERATOR))).toEqual(UNAVAILABLE);
  });

  it('need not be told where they have ended, by their own word, or are no tokens', async () => {
    const tokens = tokensOf();
    const ended = await issuer.token({ ...OPERATOR, exp: seconds() - 60 });
    const [header = ''] = ended.split('.');
    await issuer.leave();
    expect(await tokens.authenticate(ended)).toEqual(UNKNOWN);
    for (const payload of ['', 'x', encode([])]) {
      expect(await tokens.authenticate(`${header}.${payload}.x`)).toEqual(UNKNOWN);
    }
  });

  it.each([
    ['speaks for another', { issuer: 'http://127.0.0.1:1' }],
    ['has its keys in the clear elsewhere', { jwks_uri: 'http://192.0.2.1/keys' }],
    ['has its keys nowhere', { jwks_uri: 'file:///etc/passwd' }],
  ])('cannot be told of an issuer that %s', async (_, told) => {
    issuer.told = told;
    expect(await tokensOf().authenticate(await issuer.token(OPERATOR))).toEqual(UNAVAILABLE);
    expect(issuer.keyRequests).toBe(0);
  });
});
