/** What became of a publish: `taken`: its command was answered · `refused`: no command topic · `failed`: no answer. */
export type MqttOutcome = 'taken' | 'refused' | 'failed';

/** What the MQTT edge tells of itself, for metrics and logs. No call throws or waits. */
export interface MqttObserver {
  mqttPublished(outcome: MqttOutcome): void;
  /** A publish to a topic that takes no commands. */
  mqttRefused(clientId: string | null, topic: string): void;
  /** A connection that ended with an error. */
  mqttFailed(clientId: string | null, error: unknown): void;
}
