/** The edge of the service at which something was limited. */
export type Edge = 'http' | 'mqtt';

/**
 * What was too much. `rate`: requests a second of a caller · `device-rate`: commands a second of a device ·
 * `in-flight`: requests of a caller that wait for their answers · `overload`: of all together · `connections` ·
 * `address-connections`: of one address · `caller-connections`: of one caller · `subscriptions` of a client ·
 * `unacknowledged`: messages to a client with a session, of which the oldest is not kept any more · `unreleased`:
 * publishes of QoS 2 of a client · `streams` · `caller-streams`: of one caller ·
 * `size`: a body, a head, a packet, a name · `slow`: what did not arrive in time, or was not taken.
 */
export const LIMITS = [
  'rate',
  'device-rate',
  'in-flight',
  'overload',
  'connections',
  'address-connections',
  'caller-connections',
  'subscriptions',
  'unacknowledged',
  'unreleased',
  'streams',
  'caller-streams',
  'size',
  'slow',
] as const;
export type Limit = (typeof LIMITS)[number];

/** What the edges tell of whom they have limited, for metrics and logs. No call throws or waits. */
export interface LimitObserver {
  /** @param who a caller, an address or a device, as far as one is known; empty: none is */
  limited(edge: Edge, limit: Limit, who: string): void;
}
