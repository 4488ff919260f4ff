import { COMMAND_CHANNELS, type CommandChannel, type OutputChannel } from '../../application/ports/bus.js';
import { isReplicaId } from '../../replica/limits.js';

/** A command as its topic names it. */
export interface CommandTopic {
  readonly channel: CommandChannel;
  readonly deviceId: string;
}

/** The channels that devices and components are told on; dead letters are for operators. */
export const MQTT_CHANNELS = [
  'update.accepted',
  'update.rejected',
  'update.delta',
  'update.documents',
  'get.accepted',
  'get.rejected',
  'delete.accepted',
  'delete.rejected',
] as const satisfies readonly OutputChannel[];
export type MqttChannel = (typeof MQTT_CHANNELS)[number];

const OWN_CHANNELS = [...COMMAND_CHANNELS, ...MQTT_CHANNELS];
/** The main ones, and the named ones. */
const ALL_REPLICAS = ['+', '+/name/+'];
const DELTA = ['update', 'delta'];

/** The pattern's topics in MQTT: `{prefix}/{deviceId}/update` and below. */
export class Topics {
  constructor(private readonly prefix: string) {}

  /** Null: no topic that takes commands, or no device id. */
  commandOf(topic: string): CommandTopic | null {
    const [deviceId, [name, ...rest]] = this.split(topic);
    const channel = COMMAND_CHANNELS.find((command) => command === name);
    return deviceId === null || channel === undefined || rest.length > 0 ? null : { channel, deviceId };
  }

  /** Whether answers may be sent to this topic: none of the pattern's own, which they would pass for, and one that exists. */
  mayRespondTo(topic: string): boolean {
    if (topic === '' || topic.startsWith('$') || /[+#\0]/.test(topic)) return false;
    if (topic.split('/')[0] !== this.prefix) return true;
    return !OWN_CHANNELS.some((channel) => topic.endsWith(`/${channel.replace('.', '/')}`));
  }

  /** The command topics of all replicas, as a member of a group takes them, or (null) alone. */
  commandFilters(group: string | null): string[] {
    const shared = group === null ? '' : `$share/${group}/`;
    return ALL_REPLICAS.flatMap((replica) =>
      COMMAND_CHANNELS.map((channel) => `${shared}${this.prefix}/${replica}/${channel}`),
    );
  }

  /** The delta topics of all replicas. */
  deltaFilters(): string[] {
    return ALL_REPLICAS.map((replica) => this.outputTopic('update.delta', replica));
  }

  outputTopic(channel: MqttChannel, deviceId: string): string {
    return `${this.prefix}/${deviceId}/${channel.replace('.', '/')}`;
  }

  /**
   * The device whose delta this filter asks for; null: none, or those of more than one device, whose readers follow
   * what happens from now on.
   */
  deltaDeviceOf(filter: string): string | null {
    const [deviceId, levels] = this.split(filter);
    if (deviceId === null) return null;
    for (const [index, level] of levels.entries()) {
      if (level === '#') return deviceId;
      if (index >= DELTA.length || (level !== '+' && level !== DELTA[index])) return null;
    }
    return levels.length === DELTA.length ? deviceId : null;
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
