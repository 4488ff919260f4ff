import { type X509Certificate } from 'node:crypto';
import { type TLSSocket } from 'node:tls';
import { readCaller } from '../../application/access/caller.js';
import {
  type Authentication,
  type CertificateAuthenticator,
  UNKNOWN,
} from '../../application/ports/authenticator.js';
import { type Authority } from './tls-files.js';

interface CertificateLogger {
  warn(facts: object, message: string): void;
}

/** More than anybody has; for what would go round in a circle. */
const CHAIN_COUNT_MAX = 10;
const LOG_MS = 10_000;

/**
 * Devices by their client certificates: the common name is the device's id. OpenSSL has checked the certificate in the
 * handshake; what may have changed since is checked here, each time.
 */
export class DeviceCertificates implements CertificateAuthenticator {
  /** By which authority an open connection was found good: signatures are not checked again before there is another. */
  private readonly checked = new WeakMap<TLSSocket, Authority>();
  private loggedAt = -Infinity;

  constructor(
    private readonly files: { readonly authority: Authority },
    private readonly logger: CertificateLogger,
  ) {}

  authenticate(socket: TLSSocket): Authentication | null {
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) return null;
    // An array where there are several, of which none is the one.
    const name: unknown = socket.getPeerCertificate().subject.CN;
    const problem = this.problemOf(socket, certificate);
    const caller = problem ?? readCaller({ id: name, role: 'device', devices: [name] });
    if (typeof caller !== 'string') return { ok: true, caller };
    this.explain(name, problem ?? 'its common name is no device id');
    return UNKNOWN;
  }

  private problemOf(socket: TLSSocket, certificate: X509Certificate): string | null {
    if (!socket.authorized) return String(socket.authorizationError);
    // It could sign those of all other devices.
    if (certificate.ca) return 'it is one of an authority, not of a device';
    const chain = chainOf(certificate);
    const now = Date.now();
    if (chain.some(({ validTo }) => !(now <= Date.parse(validTo)))) return 'CERT_HAS_EXPIRED';
    const { authority } = this.files;
    if (this.checked.get(socket) === authority) return null;
    if (chain.some((one) => authority.revocations.has(one))) return 'CERT_REVOKED';
    if (!isOf(authority, chain)) return 'its authority is not taken any more';
    this.checked.set(socket, authority);
    return null;
  }

  /** Whose device it is has to know why it is not let in. */
  private explain(name: unknown, problem: string): void {
    if (performance.now() - this.loggedAt < LOG_MS) return;
    this.loggedAt = performance.now();
    const shown = String(name).slice(0, 130);
    this.logger.warn({ commonName: shown, problem }, 'A client certificate is refused by MQTT');
  }
}

function chainOf(certificate: X509Certificate): X509Certificate[] {
  const chain = [certificate];
  for (let next = certificate.issuerCertificate; next !== undefined; next = next.issuerCertificate) {
    if (chain.length === CHAIN_COUNT_MAX) break;
    chain.push(next);
  }
  return chain;
}

/** A root that was renewed, with its name and key, still is the one that it was. */
function isOf({ certificates }: Authority, chain: readonly X509Certificate[]): boolean {
  return chain.some((one) =>
    certificates.some((authority) => one.checkIssued(authority) && one.verify(authority.publicKey)),
  );
}
