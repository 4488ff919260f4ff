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

  /** @param connected the client that is connected under an id; undefined: none is */
  constructor(
    private readonly authenticator: Authenticator,
    private readonly connected: (clientId: string) => Client | undefined,
  ) {}

  authenticate(
    client: Client,
    password: Readonly<Buffer | undefined>,
    done: (error: AuthenticateError | null, success: boolean | null) => void,
  ): void {
    void this.codeOf(client, password).then((code) =>
      code === null ? done(null, true) : done(refusalOf(code), null),
    );
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

  /** Null: let it in. */
  private async codeOf(client: Client, password: Readonly<Buffer | undefined>): Promise<number | null> {
    if (password === undefined) return BAD_CREDENTIALS;
    const answer = await this.authenticator.authenticate(password.toString());
    if (!answer.ok) return answer.reason === 'unknown' ? BAD_CREDENTIALS : SERVER_UNAVAILABLE;
    const { caller } = answer;
    // To connect under a client id ends whoever has it, and takes over its session.
    const holder = this.connected(client.id);
    const isAnothers = holder !== undefined && this.callers.get(holder)?.id !== caller.id;
    const isNotItsOwn = caller.role === 'device' && client.id !== caller.devices[0];
    if (isAnothers || isNotItsOwn) return NOT_AUTHORIZED;
    this.callers.set(client, caller);
    return null;
  }
}

function refusalOf(returnCode: number): AuthenticateError {
  return Object.assign(new Error(`An MQTT client was not let in: ${returnCode}`), { returnCode });
}
