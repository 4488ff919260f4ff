import { type Authentication, type Authenticator, UNKNOWN } from '../../application/ports/authenticator.js';
import { type ApiKeys } from './api-keys.js';

/** Three parts of base64url: a token. No API key looks so. */
const JWT = /^[\w-]+\.[\w-]+\.[\w-]*$/;

/** Tells who somebody is by an API key, or by a token. */
export class Credentials implements Authenticator {
  constructor(
    private readonly keys: ApiKeys | null,
    private readonly tokens: { authenticate(token: string): Promise<Authentication> } | null,
  ) {}

  authenticate(credential: string): Authentication | Promise<Authentication> {
    if (this.tokens !== null && JWT.test(credential)) return this.tokens.authenticate(credential);
    const caller = this.keys?.callerOf(credential);
    return caller === undefined ? UNKNOWN : { ok: true, caller };
  }

  close(): void {
    this.keys?.close();
  }
}
