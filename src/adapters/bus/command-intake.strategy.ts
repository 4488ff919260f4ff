import { Catch, type RpcExceptionFilter } from '@nestjs/common';
import {
  BaseRpcContext,
  Server,
  type CustomTransportStrategy,
  type MessageHandler,
} from '@nestjs/microservices';
import { lastValueFrom, throwError, type Observable } from 'rxjs';
import {
  COMMAND_CHANNELS,
  type BatchHandler,
  type Bus,
  type CommandBatch,
  type CommandChannel,
} from '../../application/ports/bus.js';

type ListenCallback = (error?: unknown) => void;

/**
 * Nest's way to the bus: handlers bound by `@EventPattern('update')`, `'delete'` and `'get'` get a whole
 * {@link CommandBatch} as payload. What a handler returns is ignored; when it fails, the batch comes again. Several
 * event handlers of one channel all get the batch, and it is done when all are.
 */
export class CommandIntake extends Server implements CustomTransportStrategy {
  override transportId = Symbol('device-commands');

  constructor(private readonly bus: Bus) {
    super();
  }

  /** Starts the bus's intake. The bus must be connected. */
  async listen(callback: ListenCallback): Promise<void> {
    try {
      await this.bus.consume(this.batchHandlers());
    } catch (error) {
      callback(error);
      return;
    }
    callback();
  }

  close(): Promise<void> {
    return this.bus.stop();
  }

  /** The bus tells its state in health(); it has no events. */
  on(event: string): never {
    throw new Error(`The command intake has no event '${event}'`);
  }

  unwrap<T>(): T {
    return this.bus as T;
  }

  private batchHandlers(): Map<CommandChannel, BatchHandler> {
    const handlers = new Map<CommandChannel, BatchHandler>();
    for (const [pattern, handler] of this.messageHandlers) {
      if (!isChannel(pattern)) {
        throw new Error(
          `No command channel '${pattern}': handlers may be for ${COMMAND_CHANNELS.join(', ')}`,
        );
      }
      handlers.set(pattern, (batch) => this.handle(pattern, handler, batch));
    }
    return handlers;
  }

  private async handle(channel: CommandChannel, handler: MessageHandler, batch: CommandBatch): Promise<void> {
    // Nest answers with a promise of a value or of an Observable, and turns exceptions into an Observable's error.
    const result = handler(batch, new BaseRpcContext([channel])) as Promise<Observable<unknown>>;
    try {
      await lastValueFrom(this.transformToObservable(result), { defaultValue: undefined });
    } catch (error) {
      throw asError(error);
    }
  }
}

/**
 * Lets the failures of a controller through as they are. Nest's own filter logs them and hands on no more than
 * "Internal server error", which would be all that the bus's log and health could say.
 */
@Catch()
export class BatchFailureFilter implements RpcExceptionFilter {
  catch(exception: unknown): Observable<never> {
    return throwError(() => exception);
  }
}

function isChannel(pattern: string): pattern is CommandChannel {
  return (COMMAND_CHANNELS as readonly string[]).includes(pattern);
}

/** Nest's filters throw plain objects with a message. */
function asError(error: unknown): Error {
  if (error instanceof Error) return error;
  const message = typeof error === 'object' && error !== null && 'message' in error ? error.message : error;
  return new Error(typeof message === 'string' ? message : JSON.stringify(message), { cause: error });
}
