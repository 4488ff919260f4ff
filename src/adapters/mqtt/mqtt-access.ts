import { type AuthenticateError, type Client } from 'aedes';
import { type Caller, mayOnDevice, mayOnPrefix } from '../../application/access/rules.js';
import { maySendUpdate } from '../../application/access/sent-update.js';
import { type Authenticator } from '../../application/ports/authenticator.js';
import { type CommandTopic } from './topics.js';

const ACTIONS = { get: 'read', delete: 'delete' } as const;
/** What CONNACK of MQTT 3.1.1 says. */
const SERVER_UNAVAILABLE = 3;
const BAD_CREDENTIALS = 4;
const NOT_AUTHORIZED = 5;

/**
 * Who may connect by MQTT, and do what. The password is an API key or a token; the user name is not looked at. All by
 * the rules that hold for REST.
 */
export class MqttAccess {
  private readonly callers = new WeakMap<Client, Caller>();
  /** By client id, who was let in under it last; not when the connection is over. */
  private readonly holders = new Map<string, Client>();

  constructor(private readonly authenticator: Authenticator) {}

  /** Who connects; an error: it is not let in. */
  async admit(client: Client, password: Readonly<Buffer | undefined>): Promise<Caller | AuthenticateError> {
    if (password === undefined) return refusalOf(BAD_CREDENTIALS);
    const answer = await this.authenticator.authenticate(password.toString());
    if (!answer.ok) return refusalOf(answer.reason === 'unknown' ? BAD_CREDENTIALS : SERVER_UNAVAILABLE);
    const { caller } = answer;
    if (!this.mayBe(client.id, caller)) return refusalOf(NOT_AUTHORIZED);
    this.callers.set(client, caller);
    this.holders.set(client.id, client);
    client.conn.once('close', () => {
      if (this.holders.get(client.id) === client) this.holders.delete(client.id);
    });
    return caller;
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

function refusalOf(returnCode: number): AuthenticateError {
  return Object.assign(new Error(`An MQTT client was not let in: ${returnCode}`), { returnCode });
}
