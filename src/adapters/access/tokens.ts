import { decodeJwt, type JWTPayload, jwtVerify } from 'jose';
import { readCaller } from '../../application/access/caller.js';
import { type Caller, ROLES } from '../../application/access/rules.js';
import { type Authentication, UNAVAILABLE, UNKNOWN } from '../../application/ports/authenticator.js';
import { IssuerAway, IssuerKeys, type IssuerLogger, type IssuerOptions } from './issuer-keys.js';

export interface TokenOptions extends IssuerOptions {
  readonly audience: string;
  readonly roleClaim: string;
  readonly devicesClaim: string;
}

/** Signatures by a key that the issuer alone has: no `none`, and none by a secret that is shared. */
const ALGORITHMS = ['RS', 'PS', 'ES'].flatMap((kind) => ['256', '384', '512'].map((bits) => kind + bits));
ALGORITHMS.push('EdDSA', 'Ed25519');
/** By how much the clocks of the issuer and of this machine may differ. */
const CLOCK_TOLERANCE_S = 5;
const LOG_MS = 10_000;

/** Callers by the tokens (JWT) of an OpenID Connect issuer. */
export class Tokens {
  private readonly keys: IssuerKeys;
  private loggedAt = -Infinity;

  constructor(
    private readonly options: TokenOptions,
    private readonly logger: IssuerLogger,
  ) {
    this.keys = new IssuerKeys(options, logger);
  }

  /** Never rejects. */
  async authenticate(token: string): Promise<Authentication> {
    const { issuer, audience } = this.options;
    try {
      const { payload } = await jwtVerify(token, (header, jws) => this.keys.find(header, jws), {
        issuer,
        audience,
        algorithms: ALGORITHMS,
        requiredClaims: ['exp', 'sub'],
        clockTolerance: CLOCK_TOLERANCE_S,
      });
      const caller = callerOf(payload, this.options);
      if (typeof caller !== 'string') return { ok: true, caller };
      this.explain(payload, caller);
      return UNKNOWN;
    } catch (error) {
      return error instanceof IssuerAway && !hasEnded(token) ? UNAVAILABLE : UNKNOWN;
    }
  }

  /** The issuer has signed it, so that somebody has to know why it does not do. */
  private explain({ sub }: JWTPayload, problem: string): void {
    if (performance.now() - this.loggedAt < LOG_MS) return;
    this.loggedAt = performance.now();
    this.logger.warn({ sub, problem }, 'A token of OIDC_ISSUER does not say what its caller may do');
  }
}

/** By its own word, which nobody would give falsely; one that cannot be read never was. */
function hasEnded(token: string): boolean {
  try {
    const { exp } = decodeJwt(token);
    return exp !== undefined && exp + CLOCK_TOLERANCE_S < Date.now() / 1000;
  } catch {
    return true;
  }
}

/** Text: what is wrong with the claims. */
function callerOf(payload: JWTPayload, names: TokenOptions): Caller | string {
  const roles = listOf(claimOf(payload, names.roleClaim));
  const ours = ROLES.filter((role) => roles.includes(role));
  if (ours.length !== 1) return `${names.roleClaim} must name one of ${ROLES.join(', ')}`;
  const devices = listOf(claimOf(payload, names.devicesClaim));
  return readCaller({ id: payload.sub, role: ours[0], devices });
}

function claimOf(payload: JWTPayload, name: string): unknown {
  return Object.hasOwn(payload, name) ? payload[name] : undefined;
}

/** An array, or words separated by spaces or commas. */
function listOf(claim: unknown): readonly unknown[] {
  if (Array.isArray(claim)) return claim as unknown[];
  return typeof claim === 'string' ? claim.split(/[\s,]+/).filter((word) => word !== '') : [];
}
