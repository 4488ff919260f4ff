import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type Provider,
} from '@nestjs/common';
import { type ToldBus } from './adapters/bus/told-bus.js';
import { BUS, MQTT_BROKER, PRESENCE, READ_MODEL } from './adapters/http/tokens.js';
import { BrokerClient } from './adapters/mqtt/broker-client.js';
import { BrokerPresence } from './adapters/mqtt/broker-presence.js';
import { type ReadModelQueries } from './application/ports/read-model.js';
import { connectionsOf } from './application/presence.js';
import { type PresenceRecorder } from './application/presence-recorder.js';
import { ReadReplica } from './application/read-replica.js';
import { type Settings } from './config/settings.js';
import { brokerOptionsOf } from './mqtt-broker-settings.js';
import { type Metrics } from './observability/metrics.js';

const PAGE_COUNT = 1000;
/** Null: no broker, or what devices tell of themselves is kept nowhere. */
const BROKER_PRESENCE = Symbol('presence at an mqtt broker');

/** Starts and ends the client of an MQTT broker, where there is one. */
@Injectable()
export class MqttBrokerRunner
  implements OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown
{
  constructor(
    @Inject(MQTT_BROKER) private readonly broker: BrokerClient | null,
    @Inject(BROKER_PRESENCE) private readonly presence: BrokerPresence | null,
  ) {}

  onApplicationBootstrap(): void {
    this.broker?.start();
    this.presence?.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await Promise.all([this.broker?.quiesce(), this.presence?.stop()]);
  }

  /** Behind the bus, whose last outputs it tells. */
  async onApplicationShutdown(): Promise<void> {
    await this.broker?.stop();
  }
}

/** What the client of an MQTT broker is made of: a part of the composition root. */
export function mqttBrokerProviders(settings: Settings, metrics: Metrics): Provider[] {
  const { MQTT_URL } = settings;
  // What SQLite holds has one owner; all else may be shared by instances.
  const isAlone = settings.KAFKA_BROKERS === undefined && settings.EVENTSTORE_CONNECTION_STRING === undefined;
  return [
    {
      provide: MQTT_BROKER,
      inject: [BUS, ReadReplica, READ_MODEL],
      useFactory: (
        bus: ToldBus,
        reader: ReadReplica,
        readModel: ReadModelQueries | null,
      ): BrokerClient | null => {
        if (MQTT_URL === undefined) return null;
        const broker = new BrokerClient(
          { bus, reader, outOfSync: () => outOfSync(readModel), observer: metrics.mqtt },
          { ...brokerOptionsOf({ ...settings, MQTT_URL }), isAlone },
        );
        bus.tellTo((messages) => broker.tell(messages));
        metrics.mqtt.watchBroker(() => ({
          isUsable: broker.health() === null,
          waitingCount: broker.waitingCount,
        }));
        return broker;
      },
    },
    {
      provide: BROKER_PRESENCE,
      inject: [PRESENCE],
      useFactory: (recorder: PresenceRecorder | null): BrokerPresence | null =>
        MQTT_URL === undefined || recorder === null
          ? null
          : new BrokerPresence(
              { recorder, next: connectionsOf(Date.now), observer: metrics.mqtt },
              { ...brokerOptionsOf({ ...settings, MQTT_URL }), isAlone },
            ),
    },
    MqttBrokerRunner,
  ];
}

async function* outOfSync(
  readModel: ReadModelQueries | null,
): AsyncIterable<{ deviceId: string; version: number }> {
  for (let after: string | null = null; readModel !== null;) {
    const { rows } = await readModel.list({
      inSync: false,
      limit: PAGE_COUNT,
      ...(after === null ? {} : { after: { value: null, deviceId: after } }),
    });
    yield* rows;
    const last = rows[rows.length - 1];
    if (last === undefined || rows.length < PAGE_COUNT) return;
    after = last.deviceId;
  }
}
