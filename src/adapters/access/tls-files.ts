import { constants, createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { type ServerTls } from '../../application/ports/server-tls.js';
import { messageOf } from '../../application/timing.js';
import { Revocations } from './revocations.js';
import { readText, WatchedFiles } from './watched-files.js';

/** A file, and the setting that names it. */
export interface TlsFile {
  readonly setting: string;
  readonly path: string;
}

export interface TlsFileNames {
  /** PEM: the service's certificate, and those of the authorities between, if there are some. */
  readonly cert: TlsFile;
  /** PEM, without a passphrase. */
  readonly key: TlsFile;
  /** PEM: the authorities whose client certificates are taken, up to a root. Null: none are asked for. */
  readonly ca: TlsFile | null;
  /** PEM: the lists of what the authorities have taken back, of each of them one. Null: nothing is. */
  readonly crl: TlsFile | null;
}

/** What client certificates are held against. */
export interface Authority {
  readonly certificates: readonly X509Certificate[];
  readonly revocations: Revocations;
}

interface TlsLogger {
  info(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----/g;

/**
 * TLS by files, which are read again when they have changed. New versions that cannot be used, each or together, are
 * refused with a log line, and those before stay.
 */
export class TlsFiles implements ServerTls {
  private current: TlsMaterial;
  private readonly files: WatchedFiles;
  private readonly listeners: ((context: SecureContextOptions) => void)[] = [];

  /** Throws an error of one line that begins with the setting whose file cannot be used. */
  constructor(
    private readonly names: TlsFileNames,
    private readonly logger: TlsLogger,
  ) {
    const { cert, key, ca, crl } = names;
    const paths = [cert, key, ca, crl].flatMap((file) => (file === null ? [] : [file.path]));
    this.files = new WatchedFiles(paths, () => this.readAgain());
    this.current = readTls(names);
    this.files.watch();
  }

  get context(): SecureContextOptions {
    return this.current.context;
  }

  get asksForCertificates(): boolean {
    return this.names.ca !== null;
  }

  /** Another object each time the files have been read. */
  get authority(): Authority {
    return this.current.authority;
  }

  onRenewed(listener: (context: SecureContextOptions) => void): void {
    this.listeners.push(listener);
  }

  close(): void {
    this.files.close();
  }

  private readAgain(): void {
    const { setting } = this.names.cert;
    try {
      this.current = readTls(this.names);
      for (const listener of this.listeners) listener(this.context);
      this.logger.info(
        { setting, validTo: this.current.validTo },
        'The TLS files have changed and were read again',
      );
    } catch (error) {
      const reason = messageOf(error);
      this.logger.error({ reason }, 'The TLS files have changed and cannot be used: those before stay');
    }
  }
}

interface TlsMaterial {
  readonly context: SecureContextOptions;
  readonly authority: Authority;
  /** When the service's certificate ends. */
  readonly validTo: string;
}

function readTls({ cert, key, ca, crl }: TlsFileNames): TlsMaterial {
  const certText = read(cert);
  const keyText = read(key);
  const [certificate] = certificatesIn(cert, certText);
  const privateKey = use(key, 'holds no private key in PEM without a passphrase', () =>
    createPrivateKey(keyText),
  );
  if (certificate?.checkPrivateKey(privateKey) !== true) {
    throw new Error(
      `${key.setting}: the key in '${key.path}' is not the one of the first certificate in ${cert.setting}`,
    );
  }
  const authorities = ca === null ? [] : certificatesIn(ca, read(ca));
  if (ca !== null && !authorities.some((one) => one.checkIssued(one))) {
    throw new Error(
      `${ca.setting}: '${ca.path}' holds no root, a certificate that is signed by itself: add it at the end`,
    );
  }
  const lists = crl === null ? [] : blocksIn(read(crl), 'X509 CRL');
  if (crl !== null && lists.length === 0) {
    throw new Error(`${crl.setting}: '${crl.path}' holds no certificate revocation list in PEM`);
  }
  const context: SecureContextOptions = {
    cert: certText,
    key: keyText,
    minVersion: 'TLSv1.2',
    ...(ca === null ? {} : { ca: authorities.map(String) }),
    ...(crl === null ? {} : { crl: lists }),
    // A session that is resumed is not held against what has changed since: the lists, the authorities.
    ...(ca === null ? {} : { secureOptions: constants.SSL_OP_NO_TICKET }),
  };
  // Before the lists, so that each error is told of the file that it is of.
  use(cert, 'cannot be used', () => createSecureContext({ ...context, crl: undefined }));
  const revocations = use(crl ?? cert, 'holds a list that cannot be used', () => {
    createSecureContext(context);
    return new Revocations(lists.map(derOf));
  });
  return { context, authority: { certificates: authorities, revocations }, validTo: certificate.validTo };
}

function read({ setting, path }: TlsFile): string {
  try {
    return readText(path);
  } catch (error) {
    throw new Error(`${setting}: ${messageOf(error)}`, { cause: error });
  }
}

function certificatesIn(file: TlsFile, text: string): X509Certificate[] {
  const blocks = blocksIn(text, 'CERTIFICATE');
  if (blocks.length === 0) throw new Error(`${file.setting}: '${file.path}' holds no certificate in PEM`);
  return use(file, 'holds a certificate that cannot be used', () =>
    blocks.map((block) => new X509Certificate(block)),
  );
}

/** Says in one line what is wrong with the file where `act` throws. */
function use<T>({ setting, path }: TlsFile, problem: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    const [reason] = messageOf(error).split('\n', 1);
    throw new Error(`${setting}: '${path}' ${problem} (${reason})`, { cause: error });
  }
}

function blocksIn(text: string, kind: string): string[] {
  return [...text.matchAll(BLOCK)].filter(([, found]) => found === kind).map(([block]) => `${block}\n`);
}

function derOf(pem: string): Buffer {
  return Buffer.from(pem.replace(/-----[^-]+-----/g, ''), 'base64');
}
