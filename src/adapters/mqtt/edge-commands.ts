import { type Client, type PublishPacket } from 'aedes';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { DEVICE_TOO_FAST } from '../../application/access/rates.js';
import { FORBIDDEN } from '../../application/access/rules.js';
import { type Bus } from '../../application/ports/bus.js';
import { type MqttObserver } from '../../application/ports/mqtt-observer.js';
import { messageOf as textOf } from '../../application/timing.js';
import { type Refusal } from '../../replica/commands.js';
import { rejectedDocument } from '../../replica/documents.js';
import { AcksInOrder } from './acks-in-order.js';
import { type ConnectionLimits } from './connection-limits.js';
import { messageOf } from './deltas-on-return.js';
import { type DevicePace } from './device-pace.js';
import { type EdgePresence } from './edge-presence.js';
import { type MqttAccess } from './mqtt-access.js';
import { type Sessions } from './sessions.js';
import { type CommandTopic, type Dialect, firstOf } from './topics.js';

/** Where a publish goes that nobody is to get: a topic that nobody can subscribe to. */
const NOWHERE = '$SYS/nowhere';

export interface EdgeCommandsParts {
  readonly bus: Pick<Bus, 'request'>;
  readonly observer: MqttObserver;
  readonly dialects: readonly Dialect[];
  /** Null: whoever connects may do everything. */
  readonly access: MqttAccess | null;
  readonly sessions: Sessions;
  readonly presence: Pick<EdgePresence, 'isOwn'>;
  readonly limits: Pick<ConnectionLimits, 'begin' | 'unreleased'>;
  readonly pace: DevicePace;
}

/** What the clients of the MQTT edge publish, as commands. */
export class EdgeCommands {
  private readonly acks = new WeakMap<Client, AcksInOrder>();

  constructor(private readonly parts: EdgeCommandsParts) {}

  /** Takes a publish before the broker acknowledges it; the broker does so when `done` is called without an error. */
  take(client: Client | null, packet: PublishPacket, done: (error?: Error | null) => void): void {
    const { bus, observer, dialects, access, sessions, presence, limits, pace } = this.parts;
    // A will comes when the connection is over; all else has come by it.
    const isWill = client?.closed === true;
    const end = client === null || isWill ? null : limits.begin(client, 'publish');
    // A broker acknowledges in the order in which publishes came [MQTT-4.6.0-2, -3].
    const inOrder = client === null || isWill || packet.qos === 0 ? null : this.acksOf(client).hold();
    const settle = (error?: Error | null): void => {
      const go = (): void => {
        end?.();
        done(error);
      };
      if (inOrder === null) go();
      else inOrder(go);
    };
    const pass = (): void => {
      packet.topic = NOWHERE;
      settle();
    };
    const refuse = (): void => {
      observer.mqttPublished('refused');
      pass();
    };
    // A command happens once, and is not kept for those who subscribe later.
    packet.retain = false;
    const command = firstOf(dialects, (dialect) => dialect.commandOf(packet.topic));
    if (command === null) {
      if (presence.isOwn(client, packet.topic)) return pass();
      observer.mqttRefused(client?.id ?? null, packet.topic);
      return refuse();
    }
    // What the broker keeps of it for others would else keep all that came with it.
    const payload = (packet.payload = Buffer.from(packet.payload));
    if (access?.mayCommand(client, command, payload) === false) {
      this.tellRefusal(client, command, FORBIDDEN);
      return refuse();
    }
    const send = (): void => {
      // It is not acknowledged, and comes again.
      if (client?.closed === true && !isWill && packet.qos > 0) return fail(new Error('The client has gone'));
      bus.request(command.channel, command.deviceId, payload, {}).then(() => {
        observer.mqttPublished('taken');
        void nextTurn().then(() => settle());
      }, fail);
    };
    const fail = (error: unknown): void => {
      observer.mqttPublished('failed');
      settle(error instanceof Error ? error : new Error(textOf(error)));
    };
    const sendInTurn = (): void => {
      if (pace.send(client, command.deviceId, send)) return;
      this.tellRefusal(client, command, DEVICE_TOO_FAST);
      refuse();
    };
    if (packet.qos !== 2 || client === null || isWill) return sendInTurn();
    // Sent again before it was released: it was taken already.
    if (sessions.hasTaken(client, packet)) return settle();
    if (sessions.hasRoom(client)) return sendInTurn();
    limits.unreleased(client);
    settle(new Error('Too many publishes of QoS 2 are not released'));
  }

  private acksOf(client: Client): AcksInOrder {
    const acks = this.acks.get(client) ?? new AcksInOrder();
    this.acks.set(client, acks);
    return acks;
  }

  /** Tells the client alone why its command is not done: the same for a device that exists and for one that does not. */
  private tellRefusal(client: Client | null, { channel, deviceId }: CommandTopic, refusal: Refusal): void {
    const rejected = `${channel}.rejected` as const;
    for (const dialect of this.parts.dialects) {
      const document = dialect.documentOf(rejected, deviceId, rejectedDocument(refusal, Date.now()));
      if (document === null) continue;
      const message = { ...messageOf(dialect.outputTopic(rejected, deviceId), document), qos: 0 } as const;
      void nextTurn().then(() => client?.publish(message, () => undefined));
    }
  }
}
