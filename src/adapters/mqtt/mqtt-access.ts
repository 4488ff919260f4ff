import { type AuthenticateError, type Client } from 'aedes';
import { TLSSocket } from 'node:tls';
import { isSame, KnownCaller } from '../../application/access/known-caller.js';
import { type Caller, mayOnDevice, mayOnPrefix } from '../../application/access/rules.js';
import { maySendUpdate } from '../../application/access/sent-update.js';
import {
  type Authentication,
  type Authenticator,
  type CertificateAuthenticator,
  UNKNOWN,
} from '../../application/ports/authenticator.js';
import { type CommandTopic } from './topics.js';

const ACTIONS = { get: 'read', delete: 'delete' } as const;
/** What CONNACK of MQTT 3.1.1 says. */
export const SERVER_UNAVAILABLE = 3;
const BAD_CREDENTIALS = 4;
const NOT_AUTHORIZED = 5;

export interface MqttAccessOptions {
  /** By passwords; null: there are none that would do. */
  readonly authenticator: Authenticator | null;
  /** By client certificates; null: none is asked for. */
  readonly certificates: CertificateAuthenticator | null;
  /** The credentials of one that was let in do not do any more. */
  readonly onEnded: (client: Client, caller: Caller) => void;
}

/**
 * Who may connect by MQTT, and do what, by the rules that hold for REST. The password is an API key or a token, the user
 * name is not looked at; or a device has shown its certificate. With both, they must be of the same device.
 */
export class MqttAccess {
  private readonly callers = new WeakMap<Client, Caller>();
  /** By client id, who was let in under it last; not when the connection is over. */
  private readonly holders = new Map<string, Client>();

  constructor(private readonly options: MqttAccessOptions) {}

  /** Who connects; an error: it is not let in. */
  async admit(client: Client, password: Readonly<Buffer | undefined>): Promise<Caller | AuthenticateError> {
    if (this.certified(client)?.ok === false) return refusalOf(NOT_AUTHORIZED);
    const ask = (): Promise<Authentication> => this.ask(client, password?.toString());
    const answer = await ask();
    if (!answer.ok) return refusalOf(answer.reason === 'unknown' ? BAD_CREDENTIALS : SERVER_UNAVAILABLE);
    const { caller } = answer;
    if (!this.mayBe(client.id, caller)) return refusalOf(NOT_AUTHORIZED);
    // It may have gone meanwhile: nothing would end what is begun now.
    if (client.closed) return refusalOf(SERVER_UNAVAILABLE);
    this.callers.set(client, caller);
    this.holders.set(client.id, client);
    const unwatch = new KnownCaller(caller, ask).watch(() => {
      this.options.onEnded(client, caller);
      client.close();
    });
    client.conn.once('close', () => {
      unwatch();
      if (this.holders.get(client.id) === client) this.holders.delete(client.id);
    });
    return caller;
  }

  /** Null: it is no device. */
  deviceOf(client: Client): string | null {
    const caller = this.callerOf(client);
    return caller?.role === 'device' ? (caller.devices[0] ?? null) : null;
  }

  mayCommand(client: Client | null, { channel, deviceId }: CommandTopic, payload: Buffer): boolean {
    const caller = this.callerOf(client);
    if (caller === undefined) return false;
    return channel === 'update'
      ? maySendUpdate(caller, deviceId, payload)
      : mayOnDevice(caller, ACTIONS[channel], deviceId);
  }

  /** @param deviceId the one whose topics alone the filter matches; null: it matches those of others, too */
  maySubscribe(client: Client, deviceId: string | null): boolean {
    const caller = this.callerOf(client);
    if (caller === undefined) return false;
    return deviceId === null ? mayOnPrefix(caller, 'follow', '') : mayOnDevice(caller, 'follow', deviceId);
  }

  /** By all that it has given. */
  private async ask(client: Client, password: string | undefined): Promise<Authentication> {
    const shown = this.certified(client);
    if (shown?.ok === false || password === undefined) return shown ?? UNKNOWN;
    const said = (await this.options.authenticator?.authenticate(password)) ?? UNKNOWN;
    if (shown === null || !said.ok) return said;
    return isSame(shown.caller, said.caller) ? shown : UNKNOWN;
  }

  /** Null: it has shown no certificate. */
  private certified({ conn }: Client): Authentication | null {
    const { certificates } = this.options;
    return certificates !== null && conn instanceof TLSSocket ? certificates.authenticate(conn) : null;
  }

  private callerOf(client: Client | null): Caller | undefined {
    return client === null ? undefined : this.callers.get(client);
  }

  /** Whether the caller may connect under a client id, which ends whoever has it. */
  private mayBe(clientId: string, caller: Caller): boolean {
    // Its own: nobody keeps a device out by being there first.
    if (caller.role === 'device') return clientId === caller.devices[0];
    const holder = this.callerOf(this.holders.get(clientId) ?? null);
    return holder === undefined || (holder.id === caller.id && holder.role === caller.role);
  }
}

export function refusalOf(returnCode: number): AuthenticateError {
  return Object.assign(new Error(`An MQTT client was not let in: ${returnCode}`), { returnCode });
}
