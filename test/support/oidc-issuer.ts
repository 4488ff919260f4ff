import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose';
import { createServer, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';

interface Pair {
  readonly kid: string;
  readonly privateKey: Awaited<ReturnType<typeof generateKeyPair>>['privateKey'];
  readonly jwk: JWK;
}

/** A small OpenID Connect issuer on the loopback address: a discovery document, keys, and tokens. */
export class OidcIssuer {
  /** How often its keys were asked for. */
  keyRequests = 0;
  /** Of the discovery document; undefined: the truth. */
  told: { issuer?: string; jwks_uri?: string } = {};
  /** Takes requests and answers none. */
  isStuck = false;
  private server: Server | null = null;
  private port = 0;
  private count = 0;
  private pairs: Pair[] = [];

  static async start(alg = 'ES256'): Promise<OidcIssuer> {
    const issuer = new OidcIssuer(alg);
    await issuer.rotate();
    await issuer.listen();
    return issuer;
  }

  private constructor(private readonly alg: string) {}

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get kid(): string {
    return this.pair.kid;
  }

  /** Another key, and none of those before. */
  async rotate(): Promise<void> {
    const { privateKey, publicKey } = await generateKeyPair(this.alg, { extractable: true });
    const kid = `key-${++this.count}`;
    this.pairs = [
      { kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg: this.alg, use: 'sig' } },
    ];
  }

  /** Goes away, or comes back at the same address. */
  async listen(): Promise<void> {
    const server = createServer((request, response) => {
      if (this.isStuck) return;
      const send = (body: object): void => {
        response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      };
      if (request.url === '/.well-known/openid-configuration') {
        send({ issuer: this.url, jwks_uri: `${this.url}/keys`, ...this.told });
      } else if (request.url === '/keys') {
        this.keyRequests++;
        send({ keys: this.pairs.map(({ jwk }) => jwk) });
      } else {
        response.writeHead(404).end();
      }
    });
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve));
    this.server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  async leave(): Promise<void> {
    const { server } = this;
    this.server = null;
    if (server === null) return;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }

  /** A good token for an hour, but for what is said otherwise. */
  async token(
    claims: JWTPayload,
    header: { kid?: string; jku?: string; x5u?: string; jwk?: JWK } = {},
  ): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    return new SignJWT({
      iss: this.url,
      aud: 'replica',
      sub: 'somebody',
      iat: now,
      exp: now + 3600,
      ...claims,
    })
      .setProtectedHeader({ alg: this.alg, kid: this.kid, ...header })
      .sign(this.pair.privateKey);
  }

  /** The public half of its key. */
  get publicJwk(): JWK {
    return this.pair.jwk;
  }

  private get pair(): Pair {
    const [pair] = this.pairs;
    if (pair === undefined) throw new Error('It has no key yet');
    return pair;
  }
}
