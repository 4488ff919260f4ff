import {
  emptyShadowDelta,
  replicaOfShadow,
  shadowDocument,
  shadowOfReplica,
} from '../../application/aws-shadow.js';
import {
  COMMAND_CHANNELS,
  type CommandChannel,
  OUTPUT_CHANNELS,
  type OutputChannel,
} from '../../application/ports/bus.js';
import { isReplicaId } from '../../replica/limits.js';

/** A command as its topic names it. */
export interface CommandTopic {
  readonly channel: CommandChannel;
  readonly deviceId: string;
}

/** The channels that devices and components are told on; dead letters are for operators. */
export type MqttChannel = Exclude<OutputChannel, 'dead-letter'>;
export const MQTT_CHANNELS = OUTPUT_CHANNELS.filter((channel) => channel !== 'dead-letter');

const PRESENCE = 'presence';
const OWN_CHANNELS = [...COMMAND_CHANNELS, ...MQTT_CHANNELS, PRESENCE];
/** The main ones, and the named ones. */
const ALL_REPLICAS = ['+', '+/name/+'];
const ALL_SHADOWS = ['$aws/things/+/shadow', '$aws/things/+/shadow/name/+'];
const DELTA = ['update', 'delta'];

/** A way to name replicas' topics, and the documents on them. */
export interface Dialect {
  /** Null: no topic that takes commands, or no replica. */
  commandOf(topic: string): CommandTopic | null;
  outputTopic(channel: MqttChannel, replicaId: string): string;
  /** @param document null: there is no replica any more. @returns null: nothing is sent */
  documentOf(
    channel: MqttChannel,
    replicaId: string,
    document: string | Buffer | null,
  ): string | Buffer | null;
  /** A delta document in which nothing is outstanding, for those who were told that something is. */
  emptyDelta(document: string | Buffer): string | Buffer;
  /** The command topics of all replicas. */
  commandFilters(): string[];
  /** The delta topics of all replicas. */
  deltaFilters(): string[];
  /**
   * The replica whose delta this filter asks for; null: none, or those of more than one, whose readers follow what
   * happens from now on.
   */
  deltaDeviceOf(filter: string): string | null;
  /** The device that all topics are of that this filter matches; null: those of more than one, or of none. */
  deviceOf(filter: string): string | null;
  /** Whether its topics begin with `$`, so that only filters that do, too, are for them. */
  readonly isReserved: boolean;
}

/** The first answer that is not null. */
export function firstOf<T>(dialects: readonly Dialect[], ask: (dialect: Dialect) => T | null): T | null {
  for (const dialect of dialects) {
    const answer = ask(dialect);
    if (answer !== null) return answer;
  }
  return null;
}

/** The pattern's topics in MQTT: `{prefix}/{deviceId}/update` and below. */
export class Topics implements Dialect {
  readonly isReserved = false;

  constructor(private readonly prefix: string) {}

  deviceOf(filter: string): string | null {
    const [prefix, device = ''] = filter.split('/');
    return prefix === this.prefix && isReplicaId(device) ? device : null;
  }

  documentOf(_channel: MqttChannel, _replicaId: string, document: string | Buffer | null): string | Buffer {
    return document ?? '';
  }

  emptyDelta(document: string | Buffer): string | Buffer {
    return document;
  }

  commandOf(topic: string): CommandTopic | null {
    const [deviceId, levels] = this.split(topic);
    return commandBelow(deviceId, levels);
  }

  /** Whether answers may be sent to this topic: none of the pattern's own, which they would pass for, and one that exists. */
  mayRespondTo(topic: string): boolean {
    if (topic === '' || topic.startsWith('$') || /[+#\0]/.test(topic)) return false;
    if (topic.split('/')[0] !== this.prefix) return true;
    return !OWN_CHANNELS.some((channel) => topic.endsWith(`/${channel.replace('.', '/')}`));
  }

  commandFilters(): string[] {
    return below(
      ALL_REPLICAS.map((replica) => `${this.prefix}/${replica}`),
      COMMAND_CHANNELS,
    );
  }

  deltaFilters(): string[] {
    return ALL_REPLICAS.map((replica) => this.outputTopic('update.delta', replica));
  }

  /** Where it is told whether a device is connected; `+`: of all devices. */
  presenceTopic(deviceId: string): string {
    return `${this.prefix}/${deviceId}/${PRESENCE}`;
  }

  /** Null: no such topic. */
  presenceDeviceOf(topic: string): string | null {
    const [deviceId, levels] = this.split(topic);
    const isPresence = levels.length === 1 && levels[0] === PRESENCE;
    return isPresence && deviceId?.includes('/') === false ? deviceId : null;
  }

  outputTopic(channel: MqttChannel, deviceId: string): string {
    return `${this.prefix}/${deviceId}/${channel.replace('.', '/')}`;
  }

  deltaDeviceOf(filter: string): string | null {
    const [deviceId, levels] = this.split(filter);
    return asksForDelta(levels) ? deviceId : null;
  }

  /** A topic's replica, and the levels below it. */
  private split(topic: string): [deviceId: string | null, levels: readonly string[]] {
    const [prefix, device = '', ...levels] = topic.split('/');
    if (prefix !== this.prefix) return [null, []];
    const isNamed = levels[0] === 'name' && levels.length > 2;
    const id = isNamed ? `${device}/name/${levels[1]}` : device;
    return isReplicaId(id) ? [id, isNamed ? levels.slice(2) : levels] : [null, []];
  }
}

function below(addresses: readonly string[], channels: readonly string[]): string[] {
  return addresses.flatMap((address) => channels.map((channel) => `${address}/${channel}`));
}

function commandBelow(deviceId: string | null, [name, ...rest]: readonly string[]): CommandTopic | null {
  const channel = COMMAND_CHANNELS.find((command) => command === name);
  return deviceId === null || channel === undefined || rest.length > 0 ? null : { channel, deviceId };
}

/** Whether the levels of a filter below a replica match its delta's topic. */
function asksForDelta(levels: readonly string[]): boolean {
  for (const [index, level] of levels.entries()) {
    if (level === '#') return true;
    if (index >= DELTA.length || (level !== '+' && level !== DELTA[index])) return false;
  }
  return levels.length === DELTA.length;
}

/** The topics and documents of AWS IoT Device Shadow: `$aws/things/{thing}/shadow[/name/{shadow}]/update` and below. */
export class ShadowTopics implements Dialect {
  readonly isReserved = true;

  commandOf(topic: string): CommandTopic | null {
    const [replicaId, levels] = this.split(topic);
    return commandBelow(replicaId, levels);
  }

  outputTopic(channel: MqttChannel, replicaId: string): string {
    const { thing, shadow } = shadowOfReplica(replicaId);
    const name = shadow === undefined ? '' : `/name/${shadow}`;
    return `$aws/things/${thing}/shadow${name}/${channel.replace('.', '/')}`;
  }

  deviceOf(filter: string): string | null {
    const [aws, things, thing = ''] = filter.split('/');
    return aws === '$aws' && things === 'things' ? replicaOfShadow(thing) : null;
  }

  documentOf(channel: MqttChannel, replicaId: string, document: string | Buffer | null): string | null {
    return document === null ? null : shadowDocument(channel, replicaId, document.toString());
  }

  emptyDelta(document: string | Buffer): string {
    return emptyShadowDelta(document.toString());
  }

  commandFilters(): string[] {
    return below(ALL_SHADOWS, COMMAND_CHANNELS);
  }

  deltaFilters(): string[] {
    return below(ALL_SHADOWS, ['update/delta']);
  }

  deltaDeviceOf(filter: string): string | null {
    const [replicaId, levels] = this.split(filter);
    return asksForDelta(levels) ? replicaId : null;
  }

  private split(topic: string): [replicaId: string | null, levels: readonly string[]] {
    const [aws, things, thing = '', shadow, ...levels] = topic.split('/');
    if (aws !== '$aws' || things !== 'things' || shadow !== 'shadow') return [null, []];
    const isNamed = levels[0] === 'name' && levels.length > 2;
    // An empty name is none: not that of the classic shadow, as it is in a query.
    if (isNamed && levels[1] === '') return [null, []];
    return isNamed ? [replicaOfShadow(thing, levels[1]), levels.slice(2)] : [replicaOfShadow(thing), levels];
  }
}
