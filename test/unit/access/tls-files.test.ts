import { afterAll, describe, expect, it } from '@jest/globals';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { X509Certificate } from 'node:crypto';
import { Revocations } from '../../../src/adapters/access/revocations.js';
import { TlsFiles } from '../../../src/adapters/access/tls-files.js';
import { CertificateAuthority, describeWithOpenssl, type IssuedFiles } from '../../support/certificates.js';
import { until } from '../../support/http.js';
import { temporaryFolder } from '../../support/service.js';

describeWithOpenssl('the files of a listener of TLS', () => {
  const folder = temporaryFolder();
  const path = (name: string): string => join(folder.path, name);
  const logged: string[] = [];
  const logger = {
    info: (_: object, message: string) => void logged.push(message),
    error: (facts: object, message: string) => void logged.push(`${message}: ${JSON.stringify(facts)}`),
  };
  const names = {
    cert: { setting: 'CERT', path: path('cert') },
    key: { setting: 'KEY', path: path('key') },
    ca: { setting: 'CA', path: path('ca') },
    crl: { setting: 'CRL', path: path('crl') },
  };
  const NO_CERTIFICATE = `-----BEGIN CERTIFICATE-----\n${Buffer.from('none').toString('base64')}\n-----END CERTIFICATE-----\n`;
  const NO_LIST = NO_CERTIFICATE.replaceAll('CERTIFICATE', 'X509 CRL');
  const authority = CertificateAuthority.root(path('root'));
  const below = authority.under('below');
  const server = authority.issue('server', { usage: 'serverAuth' });
  afterAll(() => folder.remove());

  function writeGood(): void {
    writeFileSync(names.cert.path, readFileSync(server.cert));
    writeFileSync(names.key.path, readFileSync(server.key));
    writeFileSync(names.ca.path, readFileSync(authority.cert));
    writeFileSync(names.crl.path, authority.list());
  }

  /** One file, what is in its place, and what is said of it. */
  const BROKEN: readonly [name: keyof typeof names, text: () => string | null, begin: string, why: string][] =
    [
      ['cert', () => null, "CERT: cannot read '", 'ENOENT'],
      ['cert', () => '', 'CERT: ', 'holds no certificate in PEM'],
      ['cert', () => NO_CERTIFICATE, 'CERT: ', 'holds a certificate that cannot be used'],
      ['cert', () => readFileSync(server.key, 'utf8'), 'CERT: ', 'holds no certificate in PEM'],
      [
        'cert',
        () => readFileSync(authority.cert, 'utf8'),
        'KEY: the key in',
        'is not the one of the first certificate in CERT',
      ],
      ['key', () => null, "KEY: cannot read '", 'ENOENT'],
      ['key', () => '', 'KEY: ', 'holds no private key in PEM without a passphrase'],
      ['key', () => 'secret words', 'KEY: ', 'holds no private key'],
      ['key', () => readFileSync(join(authority.folder, 'ca.key'), 'utf8'), 'KEY: ', 'is not the one'],
      ['ca', () => null, "CA: cannot read '", 'ENOENT'],
      ['ca', () => '', 'CA: ', 'holds no certificate in PEM'],
      ['ca', () => readFileSync(authority.cert, 'utf8') + NO_CERTIFICATE, 'CA: ', 'cannot be used'],
      ['ca', () => readFileSync(server.cert, 'utf8'), 'CA: ', 'holds no root'],
      ['crl', () => null, "CRL: cannot read '", 'ENOENT'],
      ['crl', () => '', 'CRL: ', 'holds no certificate revocation list in PEM'],
      ['crl', () => NO_LIST, 'CRL: ', 'holds a list that cannot be used'],
      ['crl', () => authority.list() + NO_LIST, 'CRL: ', 'holds a list that cannot be used'],
    ];

  /** Why these files cannot be used; text in place of an error where they can. */
  function problemOf(changed: Partial<Record<keyof typeof names, string | null>>): string {
    writeGood();
    for (const [name, text] of Object.entries(changed)) {
      if (text === null) rmSync(path(name));
      else writeFileSync(path(name), text);
    }
    try {
      new TlsFiles(names, logger).close();
      return 'they can be used';
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  describe('together', () => {
    it('can be used, with what stands around the certificates in them', () => {
      expect(problemOf({})).toBe('they can be used');
      const ca = `# our authority\r\n${readFileSync(authority.cert, 'utf8').replaceAll('\n', '\r\n')}`;
      expect(problemOf({ ca })).toBe('they can be used');
      const both = authority.list() + below.list();
      expect(problemOf({ ca: readFileSync(below.cert, 'utf8') + ca, crl: both })).toBe('they can be used');
    });

    it.each(BROKEN)(
      'say what is wrong in one line that begins with the setting: %s',
      (name, text, begin, why) => {
        const problem = problemOf({ [name]: text() });
        expect(problem.startsWith(begin)).toBe(true);
        expect(problem).toContain(why);
        expect(problem).not.toContain('\n');
        expect(problem).not.toContain('secret');
      },
    );

    it('are read again when they rest after a change, and stay as they were where they cannot be used', async () => {
      writeGood();
      const files = new TlsFiles(names, logger);
      const told: unknown[] = [];
      files.onRenewed(({ cert }) => told.push(cert));
      const other = authority.issue('other', { usage: 'serverAuth' });
      logged.length = 0;
      writeFileSync(names.key.path, readFileSync(other.key));
      await until('it is told', () => logged.length === 1);
      expect(logged[0]).toContain('KEY: the key in');
      expect(files.context.cert).toBe(readFileSync(server.cert, 'utf8'));
      const before = files.authority;
      writeFileSync(names.cert.path, readFileSync(other.cert));
      await until('it is read', () => told.length === 1);
      expect(told[0]).toBe(readFileSync(other.cert, 'utf8'));
      expect(files.context.cert).toBe(told[0]);
      expect(files.authority).not.toBe(before);
      files.close();
    });
  });

  describe('certificates that were taken back', () => {
    const derOf = (pem: string): Buffer => Buffer.from(pem.replace(/-----[^-]+-----/g, ''), 'base64');
    const read = ({ cert }: IssuedFiles): X509Certificate => new X509Certificate(readFileSync(cert));

    it('are those of the lists of their own authority', () => {
      const [good, bad] = [authority.issue('good'), authority.issue('bad')];
      const lower = below.issue('lower');
      authority.revoke(bad);
      below.revoke(lower);
      const ours = derOf(authority.list());
      const both = new Revocations([ours, derOf(below.list())]);
      expect([good, bad, lower, server].map((one) => both.has(read(one)))).toEqual([
        false,
        true,
        true,
        false,
      ]);
      expect(new Revocations([ours]).has(read(lower))).toBe(false);
      expect(new Revocations([]).has(read(bad))).toBe(false);
    });

    it('are none where the list is empty', () => {
      const empty = CertificateAuthority.root(path('empty'));
      const one = empty.issue('one');
      expect(new Revocations([derOf(empty.list())]).has(read(one))).toBe(false);
    });

    it('are found among very many', () => {
      const large = CertificateAuthority.root(path('large'));
      const bad = large.issue('bad');
      const lines = Array.from({ length: 50_000 }, (_, n) => {
        const serial = (0x1000_0000 + n).toString(16).toUpperCase();
        return `R\t300101000000Z\t260101000000Z\t${serial}\tunknown\t/CN=d${n}\n`;
      });
      writeFileSync(join(large.folder, 'index.txt'), lines.join(''), { flag: 'a' });
      large.revoke(bad);
      const list = new Revocations([derOf(large.list())]);
      expect(list.has(read(bad))).toBe(true);
      expect(list.has(read(large.issue('good')))).toBe(false);
    });

    it('are not read from what is no list', () => {
      for (const bytes of [Buffer.alloc(0), Buffer.from('none'), derOf(authority.list()).subarray(0, 60)]) {
        expect(() => new Revocations([bytes])).toThrow();
      }
    });
  });
});
