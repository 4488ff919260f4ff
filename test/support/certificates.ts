import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from '@jest/globals';

export interface IssuedFiles {
  /** With the certificates between it and the root, if there are some. */
  readonly cert: string;
  readonly key: string;
}

export interface Wanted {
  /** As OpenSSL reads it. Default: the name as the common name. */
  readonly subject?: string;
  readonly alternative?: string;
  readonly usage?: 'serverAuth' | 'clientAuth';
  readonly isAuthority?: boolean;
  /** Default: an hour ago, and in a day. */
  readonly from?: Date;
  readonly to?: Date;
}

const HOUR_MS = 3_600_000;
const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** A suite that makes certificates; skipped, or failing if REQUIRE_DEVICE_TOOLS is 1, where openssl is missing. */
export function describeWithOpenssl(name: string, suite: () => void): void {
  const found = spawnSync('openssl', ['version']).error === undefined;
  if (found || process.env['REQUIRE_DEVICE_TOOLS'] === '1') describe(name, suite);
  // Its body would make some.
  else describe.skip(`${name} (skipped: openssl is missing)`, () => it('is not looked at', () => undefined));
}

/** A certificate authority of OpenSSL's command line, in a folder of its own. */
export class CertificateAuthority {
  /** PEM of its own certificate. */
  readonly cert: string;
  private readonly key: string;

  private constructor(
    readonly folder: string,
    own: IssuedFiles,
    /** What goes behind each certificate that it issues, up to the root. */
    private readonly chain: readonly string[],
  ) {
    this.cert = own.cert;
    this.key = own.key;
    writeFileSync(join(folder, 'index.txt'), '');
    writeFileSync(join(folder, 'crlnumber'), '01\n');
    writeFileSync(join(folder, 'ca.cnf'), CONFIG);
  }

  /** @param folder is made, and is the caller's to remove */
  static root(folder: string, name = 'test authority'): CertificateAuthority {
    mkdirSync(folder, { recursive: true });
    const own = { cert: join(folder, 'ca.pem'), key: join(folder, 'ca.key') };
    openssl(
      folder,
      'req',
      '-x509',
      ...EC,
      '-keyout',
      own.key,
      '-out',
      own.cert,
      '-days',
      '9',
      '-subj',
      `/CN=${name}`,
    );
    return new CertificateAuthority(folder, own, []);
  }

  /** Another one below this one, or, if it is not allowed to, somebody who plays one. */
  under(name: string, isAuthority = true): CertificateAuthority {
    const own = this.issue(name, { isAuthority });
    const folder = join(this.folder, `${name}-authority`);
    mkdirSync(folder);
    return new CertificateAuthority(folder, own, [own.cert, ...this.chain]);
  }

  issue(name: string, wanted: Wanted = {}): IssuedFiles {
    const {
      subject = `/CN=${name}`,
      from = new Date(Date.now() - HOUR_MS),
      to = new Date(Date.now() + 24 * HOUR_MS),
    } = wanted;
    const { usage = 'clientAuth', alternative, isAuthority = false } = wanted;
    const path = (ending: string): string => join(this.folder, `${name}.${ending}`);
    openssl(
      this.folder,
      'req',
      ...EC,
      '-keyout',
      path('key'),
      '-out',
      path('csr'),
      '-utf8',
      '-multivalue-rdn',
      '-subj',
      subject,
    );
    const extensions = [
      isAuthority
        ? 'basicConstraints=critical,CA:true\nkeyUsage=keyCertSign,cRLSign,digitalSignature'
        : `extendedKeyUsage=${usage}`,
      ...(alternative === undefined ? [] : [`subjectAltName=${alternative}`]),
    ];
    writeFileSync(path('ext'), extensions.join('\n'));
    this.ca(
      '-in',
      path('csr'),
      '-out',
      path('pem'),
      '-startdate',
      zulu(from),
      '-enddate',
      zulu(to),
      '-extfile',
      path('ext'),
      '-notext',
    );
    for (const file of this.chain) appendFileSync(path('pem'), readFileSync(file));
    return { cert: path('pem'), key: path('key') };
  }

  revoke({ cert }: IssuedFiles): void {
    this.ca('-revoke', cert);
  }

  /** PEM of what is revoked by now. */
  list(): string {
    const path = join(this.folder, 'crl.pem');
    this.ca('-gencrl', '-out', path);
    return readFileSync(path, 'utf8');
  }

  private ca(...args: string[]): void {
    openssl(
      this.folder,
      'ca',
      '-config',
      'ca.cnf',
      '-batch',
      '-cert',
      this.cert,
      '-keyfile',
      this.key,
      ...args,
    );
  }
}

const CONFIG = `
[ca]
default_ca = own
[own]
database = index.txt
crlnumber = crlnumber
new_certs_dir = .
rand_serial = yes
unique_subject = no
default_md = sha256
default_crl_days = 2
policy = any
preserve = yes
[any]
commonName = optional
organizationName = optional
`;

/** As the command line of openssl takes a time. */
function zulu(time: Date): string {
  return `${time.toISOString().replace(/[-:T]|\.\d+/g, '')}`;
}

function openssl(folder: string, ...args: string[]): void {
  const { status, stderr, error } = spawnSync('openssl', args, { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(`openssl ${args.join(' ')}: ${error?.message ?? stderr}`);
}
