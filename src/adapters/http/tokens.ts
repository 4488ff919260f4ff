/** Injection tokens of what is an interface, not a class. */
export const BUS = Symbol('bus');
export const STORE = Symbol('event store');
export const CLOCK = Symbol('clock');
export const OBSERVER = Symbol('observer');
/** Null: this process keeps no read model. */
export const READ_MODEL = Symbol('read model');
export const PROJECTIONS = Symbol('projections');
export const FOLLOWER_OPTIONS = Symbol('follower options');
export const FOLLOWER_OBSERVER = Symbol('follower observer');
/** The client of an MQTT broker; null: there is none. */
export const MQTT_BROKER = Symbol('mqtt broker');
