/** Injection tokens of what is an interface, not a class. */
export const BUS = Symbol('bus');
export const STORE = Symbol('event store');
export const CLOCK = Symbol('clock');
export const OBSERVER = Symbol('observer');
/** Null: this process keeps no read model. */
export const READ_MODEL = Symbol('read model');
export const PROJECTIONS = Symbol('projections');
/** How many commands a second each device may be sent; null: without bounds. */
export const DEVICE_RATES = Symbol('device rates');
export const LIMIT_OBSERVER = Symbol('limit observer');
/** Who writes down which devices are connected; null: this process keeps no read model. */
export const PRESENCE = Symbol('presence');
export const FOLLOWER_OPTIONS = Symbol('follower options');
export const FOLLOWER_OBSERVER = Symbol('follower observer');
/** The client of an MQTT broker; null: there is none. */
export const MQTT_BROKER = Symbol('mqtt broker');
