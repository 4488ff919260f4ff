/** Injection tokens of what is an interface, not a class. */
export const BUS = Symbol('bus');
export const STORE = Symbol('event store');
export const OBSERVER = Symbol('observer');
