/** What the event store logs to; pino fits. */
export interface EventStoreLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export const silentLogger: EventStoreLogger = { info: () => undefined, warn: () => undefined };
