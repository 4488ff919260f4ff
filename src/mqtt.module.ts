import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type Provider,
} from '@nestjs/common';
import { type Logger } from 'pino';
import { BUS, PRESENCE } from './adapters/http/tokens.js';
import { InFlight } from './application/access/in-flight.js';
import { MqttEdge, type MqttEdgeOptions, type MqttLimits } from './adapters/mqtt/mqtt-edge.js';
import { type Authenticator } from './application/ports/authenticator.js';
import { type Bus, BusError } from './application/ports/bus.js';
import { type PresenceRecorder } from './application/presence-recorder.js';
import { ReadReplica } from './application/read-replica.js';
import { messageOf } from './application/timing.js';
import { isMqttOn, isMqttTls, mqttPortOf, type Settings, SettingsError } from './config/settings.js';
import { type Limits } from './limits.js';
import { whyNotListening } from './listening.js';
import { type Metrics } from './observability/metrics.js';
import { openMqttTls } from './open-tls.js';

const EDGE = Symbol('mqtt edge');

/** Where devices reach the service by MQTT; null: they do not. */
@Injectable()
export class MqttListener implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private listening: number | null = null;

  constructor(@Inject(EDGE) private readonly edge: NamedEdge | null) {}

  /** `host:port`; null: it does not listen. */
  get address(): string | null {
    const host = this.edge?.options.host ?? '';
    return this.listening === null ? null : `${host.includes(':') ? `[${host}]` : host}:${this.listening}`;
  }

  /** Throws `SettingsError` where it cannot listen although it was asked to. */
  async onApplicationBootstrap(): Promise<void> {
    if (this.edge === null) return;
    const { edge, options, presence, isAsked, logger } = this.edge;
    // What was connected before is connected no more, before anything connects.
    await presence?.start();
    try {
      this.listening = await edge.start();
    } catch (error) {
      await edge.stop();
      const reason = reasonOf(error, options);
      if (isAsked) throw new SettingsError(reason);
      // Whoever runs a broker already would otherwise not be able to try the service.
      logger.warn(`The service runs without MQTT: ${reason}; set MQTT_PORT, or MQTT=off`);
    }
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.edge?.edge.stop();
  }
}

interface NamedEdge {
  readonly edge: MqttEdge;
  readonly options: MqttEdgeOptions;
  readonly presence: PresenceRecorder | null;
  /** False: it is there by default alone. */
  readonly isAsked: boolean;
  readonly logger: Logger;
}

/** One line for a person, where the edge cannot start. */
function reasonOf(error: unknown, { host, port }: MqttEdgeOptions): string {
  const listening = { portName: 'MQTT_PORT', port, hostName: 'MQTT_HOST', host };
  const reason = error instanceof Error ? whyNotListening(error, listening) : null;
  return reason ?? (error instanceof BusError ? error.message : `MQTT_PORT: ${messageOf(error)}`);
}

/** What the MQTT edge is made of: a part of the composition root. Throws `SettingsError`. */
export function mqttProviders(
  settings: Settings,
  logger: Logger,
  metrics: Metrics,
  authenticator: Authenticator | null,
  { callerRates, deviceRates }: Limits,
): Provider[] {
  const isOn = isMqttOn(settings);
  const secured = openMqttTls(settings, logger);
  const limits: MqttLimits = {
    callerRates,
    deviceRates,
    inFlight: new InFlight(settings.MAX_IN_FLIGHT_BYTES),
    observer: metrics.limits,
  };
  const options: MqttEdgeOptions = {
    host: settings.MQTT_HOST,
    port: mqttPortOf(settings),
    arrivalMs: settings.ARRIVAL_TIMEOUT_MS,
    tls: secured?.tls ?? null,
    prefix: settings.TOPIC_PREFIX,
    withShadowTopics: settings.AWS_SHADOW_TOPICS === 'on',
    maxRequestBytes: settings.MAX_REQUEST_BYTES,
    maxConnectionCount: settings.MAX_MQTT_CONNECTION_COUNT,
    maxAddressCount: settings.MAX_CONNECTIONS_PER_ADDRESS_COUNT,
    maxCallerCount: settings.MAX_MQTT_CONNECTIONS_PER_CALLER_COUNT,
    stallMs: settings.FOLLOWER_STALL_MS,
  };
  return [
    {
      provide: EDGE,
      inject: [BUS, ReadReplica, PRESENCE],
      useFactory: (bus: Bus, reader: ReadReplica, presence: PresenceRecorder | null): NamedEdge | null => {
        if (!isOn) return null;
        const certificates = secured?.certificates ?? null;
        const observer = metrics.mqtt;
        const edge = new MqttEdge(
          { bus, reader, observer, presence, authenticator, certificates, limits },
          options,
        );
        metrics.mqtt.watch(() => edge.connectionCount);
        return { edge, options, presence, isAsked: settings.MQTT === 'on' || isMqttTls(settings), logger };
      },
    },
    MqttListener,
  ];
}
