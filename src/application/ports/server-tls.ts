import { type SecureContextOptions } from 'node:tls';

/** What one of the service's listeners speaks TLS with: its certificate and key, which may be renewed while it runs. */
export interface ServerTls {
  /** As they are now. */
  readonly context: SecureContextOptions;
  /** Whether clients are asked for a certificate. One that shows none, or a bad one, is let in by TLS all the same. */
  readonly asksForCertificates: boolean;
  /** Is called with each new context. */
  onRenewed(listener: (context: SecureContextOptions) => void): void;
}
