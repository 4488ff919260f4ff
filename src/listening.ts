/** The settings that say where something listens, and what they are. */
export interface Listening {
  readonly portName: string;
  readonly port: number | undefined;
  readonly hostName: string;
  readonly host: string | undefined;
}

/** One line for a person, where the system does not let a server listen; null: it is something else. */
export function whyNotListening(error: Error, { portName, port, hostName, host }: Listening): string | null {
  switch ('code' in error ? error.code : undefined) {
    case 'EADDRINUSE':
      return `${portName}: ${port} is in use by another program`;
    case 'EACCES':
      return `${portName}: ${port} may not be opened by this user`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${hostName}: '${host}' is no address of this machine`;
    default:
      return null;
  }
}
