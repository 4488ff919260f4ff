import { type Logger } from 'pino';
import { Counter, Gauge, type Registry } from 'prom-client';
import { type MqttObserver, type MqttOutcome } from '../application/ports/mqtt-observer.js';

/** How often at most it is told that publishes are refused. */
const REFUSED_LOG_MS = 10_000;

/** Counts and logs what comes by MQTT. */
export class MqttMetrics implements MqttObserver {
  private readonly publishes: Counter<'outcome'>;
  private readonly failures: Counter;
  private connections: () => number = () => 0;
  private refusedLoggedAt = -Infinity;

  constructor(
    registry: Registry,
    private readonly logger: Logger,
  ) {
    const registers = [registry];
    this.publishes = new Counter({
      name: 'replica_mqtt_publishes_total',
      help: 'Publishes of MQTT clients, by outcome: taken, refused (no command topic), failed (not acknowledged)',
      labelNames: ['outcome'],
      registers,
    });
    this.failures = new Counter({
      name: 'replica_mqtt_connection_failures_total',
      help: 'MQTT connections that ended with an error',
      registers,
    });
    const connections = (): number => this.connections();
    new Gauge({
      name: 'replica_mqtt_connections',
      help: 'Open MQTT connections',
      registers,
      collect() {
        this.set(connections());
      },
    });
  }

  /** Where the gauge is read from when it is asked for. */
  watch(connections: () => number): void {
    this.connections = connections;
  }

  mqttPublished(outcome: MqttOutcome): void {
    this.publishes.inc({ outcome });
  }

  mqttRefused(clientId: string | null, topic: string): void {
    const isRecent = performance.now() - this.refusedLoggedAt < REFUSED_LOG_MS;
    if (!isRecent) this.refusedLoggedAt = performance.now();
    const fields = { clientId, topic: topic.slice(0, 300) };
    this.logger[isRecent ? 'debug' : 'warn'](fields, 'MQTT publish refused: not a command topic');
  }

  mqttFailed(clientId: string | null, error: unknown): void {
    this.failures.inc();
    this.logger.debug({ clientId, err: error }, 'An MQTT connection failed');
  }
}
