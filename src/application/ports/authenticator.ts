import { type TLSSocket } from 'node:tls';
import { type Caller } from '../access/rules.js';

export type Authentication =
  | { readonly ok: true; readonly caller: Caller }
  /** `unknown`: these are nobody's credentials. `unavailable`: who vouches for them cannot be asked now. */
  | { readonly ok: false; readonly reason: 'unknown' | 'unavailable' };

export const UNKNOWN: Authentication = { ok: false, reason: 'unknown' };
export const UNAVAILABLE: Authentication = { ok: false, reason: 'unavailable' };

/** Tells who somebody is by what it has sent: an API key or a token. */
export interface Authenticator {
  /** Never throws, and never rejects. What can be told at once is. */
  authenticate(credential: string): Authentication | Promise<Authentication>;
  /** Stops watching. */
  close(): void;
}

/** Tells who somebody is by the certificate that it has shown. */
export interface CertificateAuthenticator {
  /** As it is now, whenever it is asked. Null: it has shown none. Never throws. */
  authenticate(socket: TLSSocket): Authentication | null;
}
