import { type Client } from 'aedes';
import { type PresenceChange, type PresenceEnd } from '../../application/ports/presence.js';
import { connectionsOf, presenceDocument } from '../../application/presence.js';
import { type PresenceRecorder } from '../../application/presence-recorder.js';
import { isReplicaId } from '../../replica/limits.js';
import { type MqttAccess } from './mqtt-access.js';
import { type Topics } from './topics.js';

export interface EdgePresenceDependencies {
  readonly topics: Topics;
  /** Null: whoever connects may do everything. */
  readonly access: Pick<MqttAccess, 'deviceOf'> | null;
  /** Null: it is kept nowhere. */
  readonly recorder: Pick<PresenceRecorder, 'record'> | null;
  /** Whether another client has come under the client's id. */
  readonly isTakenOver: (client: Client) => boolean;
  readonly publish: (topic: string, document: string) => void;
}

/** What the broker knows of a client, and its types do not say. */
interface Known {
  readonly will?: object | null;
  /** By its own DISCONNECT. */
  readonly _disconnected: boolean;
}

interface Connection {
  readonly change: PresenceChange;
  readonly hasWill: boolean;
}

/** Tells which devices come and go, by their connections to the broker in the service. */
export class EdgePresence {
  /** By device. */
  private readonly connections = new Map<string, Connection>();
  private readonly next = connectionsOf(Date.now);
  private isStopping = false;

  constructor(private readonly dependencies: EdgePresenceDependencies) {}

  began(client: Client): void {
    const deviceId = this.deviceOf(client);
    if (deviceId === null || client.conn.destroyed) return;
    const { openedAt, connection } = this.next();
    const change: PresenceChange = {
      deviceId,
      connected: true,
      since: openedAt,
      clientId: client.id,
      ended: null,
      will: false,
      openedAt,
      connection,
    };
    const begun = { change, hasWill: Boolean(known(client).will) };
    this.connections.set(deviceId, begun);
    this.put(change);
    client.conn.once('close', () => {
      if (this.connections.get(deviceId) === begun) this.end(begun, this.reasonOf(client));
    });
  }

  /** Whether it is the topic on which a device tells of itself on brokers of others. Here its connection has told it. */
  isOwn(client: Client | null, topic: string): boolean {
    const deviceId = this.dependencies.topics.presenceDeviceOf(topic);
    return client !== null && deviceId !== null && deviceId === this.deviceOf(client);
  }

  /** All that are connected are so no more, since the service stops. */
  stop(): void {
    this.isStopping = true;
    for (const connection of this.connections.values()) this.end(connection, 'stopped');
  }

  private end({ change, hasWill }: Connection, ended: PresenceEnd): void {
    this.connections.delete(change.deviceId);
    const since = this.next().openedAt;
    this.put({ ...change, connected: false, since, ended, will: hasWill && ended !== 'clean' });
  }

  private put(change: PresenceChange): void {
    const { recorder, topics, publish } = this.dependencies;
    recorder?.record(change);
    if (!this.isStopping) publish(topics.presenceTopic(change.deviceId), presenceDocument(change));
  }

  /** The device that a client is; null: it is none, or it is not told. */
  private deviceOf(client: Client): string | null {
    const { access } = this.dependencies;
    return access === null ? deviceByClientId(client.id) : access.deviceOf(client);
  }

  private reasonOf(client: Client): PresenceEnd {
    if (known(client)._disconnected) return 'clean';
    return this.dependencies.isTakenOver(client) ? 'taken-over' : 'lost';
  }
}

function known(client: Client): Known {
  return client as unknown as Known;
}

/** What the broker calls a client that came without an id. */
const NAMELESS = /^aedes_[0-9a-f-]{36}$/;

/** Without authentication, a client whose id is that of a device is that device. */
function deviceByClientId(id: string): string | null {
  return isReplicaId(id) && !id.includes('/') && !NAMELESS.test(id) ? id : null;
}
