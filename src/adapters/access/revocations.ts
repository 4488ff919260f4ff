import { type X509Certificate } from 'node:crypto';
import { type Element, elementsOf, INTEGER, SEQUENCE } from './der.js';

/**
 * The serial numbers that certificate revocation lists (RFC 5280) hold, by issuer. New connections OpenSSL decides on,
 * signatures and times of the lists included; this is for those that are open, which it does not look at again.
 */
export class Revocations {
  private readonly serials = new Map<string, Set<string>>();

  /** @param lists each in DER. Throws where one is no list. */
  constructor(lists: readonly Buffer[]) {
    for (const list of lists) this.read(list);
  }

  has(certificate: X509Certificate): boolean {
    if (this.serials.size === 0) return false;
    const parts = partsOf(certificate.raw);
    const at = parts.findIndex(({ tag }) => tag === INTEGER);
    // The serial number, the algorithm, the issuer.
    const issuer = parts[at + 2]?.whole.toString('hex') ?? '';
    return this.serials.get(issuer)?.has(parts[at]?.content.toString('hex') ?? '') === true;
  }

  private read(list: Buffer): void {
    const parts = partsOf(list);
    const at = parts.findIndex(({ tag }) => tag === SEQUENCE);
    // The algorithm, the issuer, one or two times, what is revoked where anything is.
    const issuer = parts[at + 1];
    if (issuer === undefined) throw new Error('it is no list');
    const name = issuer.whole.toString('hex');
    const known = this.serials.get(name) ?? new Set();
    this.serials.set(name, known);
    const revoked = parts.slice(at + 2).find(({ tag }) => tag === SEQUENCE);
    for (const { content } of revoked === undefined ? [] : elementsOf(revoked.content)) {
      for (const { content: serial } of elementsOf(content)) {
        known.add(serial.toString('hex'));
        break;
      }
    }
  }
}

/** What is signed, of a certificate as of a list. */
function partsOf(der: Buffer): Element[] {
  const [outer] = elementsOf(der);
  const [signed] = elementsOf(outer?.content ?? der);
  return [...elementsOf(signed?.content ?? der)];
}
