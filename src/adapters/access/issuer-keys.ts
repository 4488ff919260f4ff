import {
  createLocalJWKSet,
  type CryptoKey,
  errors,
  type FlattenedJWSInput,
  type JSONWebKeySet,
  type JWSHeaderParameters,
} from 'jose';

export interface IssuerOptions {
  /** Its `https://` URL, or `http://` on the loopback address; as it stands in tokens. */
  readonly issuer: string;
  /** How long each of its answers may take. */
  readonly timeoutMs: number;
  /** For so long the issuer is not asked again, whatever keys are named. Default: 5 s. */
  readonly cooldownMs?: number;
  /** Keys that are older are fetched again when they are used. Default: 10 min. */
  readonly maxAgeMs?: number;
}

export interface IssuerLogger {
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
}

/** The issuer cannot be asked for a key that is not known yet. */
export class IssuerAway extends Error {}

type Keys = ReturnType<typeof createLocalJWKSet>;

const MAX_DOCUMENT_CHARACTERS = 1024 * 1024;
/** What is trusted must not come over a network in the clear. */
const SAFE_URL = /^(https:\/\/|http:\/\/(127(\.\d{1,3}){3}|\[::1\]|localhost)(:\d+)?(\/|$))/i;

/**
 * The public keys of an issuer, found by its discovery document, fetched when they are needed, and kept: also while the
 * issuer is away.
 */
export class IssuerKeys {
  private keys: Keys | null = null;
  private fetchedAt = -Infinity;
  private triedAt = -Infinity;
  private problem: string | null = null;
  private fetching: Promise<void> | null = null;
  private readonly cooldownMs: number;
  private readonly maxAgeMs: number;

  constructor(
    private readonly options: IssuerOptions,
    private readonly logger: IssuerLogger,
  ) {
    this.cooldownMs = options.cooldownMs ?? 5000;
    this.maxAgeMs = options.maxAgeMs ?? 600_000;
  }

  /** Rejects with {@link IssuerAway}, or with jose's error where there is no such key. */
  async find(header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey> {
    const known = await this.known(header, token);
    if (known !== null) {
      // Nobody waits for it, and where it fails the keys stay.
      if (performance.now() - this.fetchedAt > this.maxAgeMs) void this.refresh();
      return known;
    }
    await this.refresh();
    const found = await this.known(header, token);
    if (found !== null) return found;
    if (this.keys === null || this.problem !== null) throw new IssuerAway(this.problem ?? 'not asked yet');
    throw new errors.JWKSNoMatchingKey();
  }

  private async known(header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey | null> {
    try {
      return this.keys === null ? null : await this.keys(header, token);
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey) return null;
      throw error;
    }
  }

  /** One at a time, and not too often: anybody can name keys that there are not. Never rejects. */
  private refresh(): Promise<void> {
    if (this.fetching !== null) return this.fetching;
    if (performance.now() - this.triedAt < this.cooldownMs) return Promise.resolve();
    this.fetching = this.fetchKeys().finally(() => {
      this.triedAt = performance.now();
      this.fetching = null;
    });
    return this.fetching;
  }

  private async fetchKeys(): Promise<void> {
    const { issuer } = this.options;
    try {
      const document = await this.getJson(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`);
      if (document['issuer'] !== issuer) throw new Error('its discovery document is of another issuer');
      const url = document['jwks_uri'];
      if (typeof url !== 'string' || !SAFE_URL.test(url)) {
        throw new Error('its jwks_uri is no https:// URL, nor one of the loopback address');
      }
      this.keys = createLocalJWKSet((await this.getJson(url)) as unknown as JSONWebKeySet);
      this.fetchedAt = performance.now();
      if (this.problem !== null) this.logger.info({ issuer }, 'OIDC_ISSUER answers again');
      this.problem = null;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (this.problem === null)
        this.logger.warn({ issuer, reason }, 'OIDC_ISSUER cannot be asked for its keys');
      this.problem = reason;
    }
  }

  private async getJson(url: string): Promise<Readonly<Record<string, unknown>>> {
    const signal = AbortSignal.timeout(this.options.timeoutMs);
    const answer = await fetch(url, { signal, redirect: 'error', headers: { accept: 'application/json' } });
    if (!answer.ok) throw new Error(`${url} was answered with ${answer.status}`);
    const text = await answer.text();
    if (text.length > MAX_DOCUMENT_CHARACTERS) throw new Error(`${url} is too large`);
    const value = JSON.parse(text) as unknown;
    if (typeof value !== 'object' || value === null) throw new Error(`${url} is no JSON object`);
    return value as Record<string, unknown>;
  }
}
