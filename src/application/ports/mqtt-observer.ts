/** What became of a publish: `taken`: its command was answered · `refused`: no command topic · `failed`: no answer. */
export type MqttOutcome = 'taken' | 'refused' | 'failed';

/** What the MQTT edge tells of itself, for metrics and logs. No call throws or waits. */
export interface MqttObserver {
  mqttPublished(outcome: MqttOutcome): void;
  /** A publish to a topic that takes no commands. */
  mqttRefused(clientId: string | null, topic: string): void;
  /** The connection to a broker of others: it stands, by this version of MQTT (4: 3.1.1). */
  mqttBrokerReached(broker: string, protocolVersion: number): void;
  /** It does not stand, or cannot be used; one line that says why. */
  mqttBrokerAway(broker: string, reason: string): void;
  /** Whether it is read there what devices tell of themselves: null; or one line that says why not. */
  mqttPresenceRead(broker: string, problem: string | null): void;
  /** An output that the broker is not told: too many wait for it, or it takes none of this size. */
  mqttOutputDropped(topic: string): void;
  /** A connection that is ended, since its caller's credentials do not do any more. */
  mqttEnded(clientId: string, callerId: string): void;
  /** A connection that ended with an error. */
  mqttFailed(clientId: string | null, error: unknown): void;
}
