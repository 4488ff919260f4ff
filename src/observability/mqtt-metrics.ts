import { type Logger } from 'pino';
import { Counter, Gauge, type Registry } from 'prom-client';
import { messageOf } from '../application/timing.js';
import { type MqttObserver, type MqttOutcome } from '../application/ports/mqtt-observer.js';

/** How often at most it is told that publishes are refused. */
const REFUSED_LOG_MS = 10_000;
/** Of what a client has chosen. */
const MAX_SHOWN_CHARACTERS = 300;

/** Counts and logs what comes by MQTT. */
export class MqttMetrics implements MqttObserver {
  private readonly publishes: Counter<'outcome'>;
  private readonly failures: Counter;
  private readonly dropped: Counter;
  private connections: () => number = () => 0;
  private broker: (() => { isUsable: boolean; waitingCount: number }) | null = null;
  private brokerReason: string | null = null;
  private presenceProblem: string | null = null;
  private droppedLoggedAt = -Infinity;
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
    this.dropped = new Counter({
      name: 'replica_mqtt_broker_dropped_total',
      help: 'Outputs that the MQTT broker was not told: too many waited, or it refused them',
      registers,
    });
    const broker = (): { isUsable: boolean; waitingCount: number } =>
      this.broker?.() ?? { isUsable: false, waitingCount: 0 };
    new Gauge({
      name: 'replica_mqtt_broker_up',
      help: '1 while commands are taken from the MQTT broker of MQTT_URL',
      registers,
      collect() {
        this.set(broker().isUsable ? 1 : 0);
      },
    });
    new Gauge({
      name: 'replica_mqtt_broker_waiting',
      help: 'Outputs that the MQTT broker has not acknowledged',
      registers,
      collect() {
        this.set(broker().waitingCount);
      },
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

  /** The broker that the service is a client of. */
  watchBroker(broker: () => { isUsable: boolean; waitingCount: number }): void {
    this.broker = broker;
  }

  mqttBrokerReached(broker: string, protocolVersion: number): void {
    this.brokerReason = null;
    const version = protocolVersion === 5 ? '5' : '3.1.1';
    this.logger.info({ broker, version }, 'Commands are taken from the MQTT broker');
  }

  mqttBrokerAway(broker: string, reason: string): void {
    // It is tried again for ever; what is new is told.
    const isNew = reason !== this.brokerReason;
    this.brokerReason = reason;
    this.logger[isNew ? 'warn' : 'debug']({ broker }, `The MQTT broker cannot be used: ${reason}`);
  }

  mqttPresenceRead(broker: string, problem: string | null): void {
    const isNew = problem !== this.presenceProblem;
    this.presenceProblem = problem;
    if (problem === null) return;
    this.logger[isNew ? 'warn' : 'debug'](
      { broker },
      `It is not known which devices are connected: ${problem}`,
    );
  }

  mqttOutputDropped(topic: string): void {
    this.dropped.inc();
    const isRecent = performance.now() - this.droppedLoggedAt < REFUSED_LOG_MS;
    if (!isRecent) this.droppedLoggedAt = performance.now();
    this.logger[isRecent ? 'debug' : 'warn'](
      { topic: topic.slice(0, MAX_SHOWN_CHARACTERS) },
      'The MQTT broker is not told an output',
    );
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
    const fields = {
      clientId: clientId?.slice(0, MAX_SHOWN_CHARACTERS),
      topic: topic.slice(0, MAX_SHOWN_CHARACTERS),
    };
    this.logger[isRecent ? 'debug' : 'warn'](fields, 'MQTT publish refused: not a command topic');
  }

  mqttEnded(clientId: string, callerId: string): void {
    this.logger.info({ clientId, callerId }, 'An MQTT client is ended: its credentials do not do any more');
  }

  mqttFailed(clientId: string | null, error: unknown): void {
    this.failures.inc();
    // Not the error itself: the packet that was wrong hangs on it, and a second CONNECT has a password in it.
    const fields = { clientId: clientId?.slice(0, MAX_SHOWN_CHARACTERS), reason: messageOf(error) };
    this.logger.debug(fields, 'An MQTT connection failed');
  }
}
