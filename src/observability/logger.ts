import { type LoggerService } from '@nestjs/common';
import { pino, type Logger } from 'pino';

/** One-line JSON logs on standard output. */
export function createLogger(level: string): Logger {
  return pino({
    level,
    base: undefined,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  });
}

/** Nest's own messages, in the same form. */
export class NestLogger implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log(message: unknown, ...rest: unknown[]): void {
    this.logger.debug({ context: contextOf(rest) }, textOf(message));
  }
  error(message: unknown, ...rest: unknown[]): void {
    // A start that fails is told in one line by whoever started; Nest would add a stack.
    if (contextOf(rest) === 'ExceptionHandler' || contextOf(rest) === 'NestApplication') {
      this.logger.debug({ context: contextOf(rest) }, textOf(message));
      return;
    }
    this.logger.error(
      { context: contextOf(rest), ...(message instanceof Error ? { err: message } : {}) },
      textOf(message),
    );
  }
  warn(message: unknown, ...rest: unknown[]): void {
    this.logger.warn({ context: contextOf(rest) }, textOf(message));
  }
  fatal(message: unknown, ...rest: unknown[]): void {
    this.logger.fatal({ context: contextOf(rest) }, textOf(message));
  }
}

function contextOf(rest: readonly unknown[]): unknown {
  return rest.at(-1);
}

function textOf(message: unknown): string {
  if (typeof message === 'string') return message;
  return message instanceof Error ? message.message : (JSON.stringify(message) ?? '');
}
