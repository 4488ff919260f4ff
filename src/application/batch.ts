import { type Backoff } from './backoff.js';
import { pause } from './timing.js';
import { type CommandBatch } from './ports/bus.js';
import { type Observer } from './ports/observer.js';

/** The reason in the dead letter of a record that the service itself could not cope with. */
export const INTERNAL_ERROR = 'Internal error: the service could not process this record';

/** The batch was given up: it is lost to another member, or the service stops. It comes again. */
export class BatchAbandoned extends Error {
  constructor(options?: { cause?: unknown }) {
    super('The batch was given up before its outputs were acknowledged; it will be delivered again', options);
    this.name = 'BatchAbandoned';
  }
}

/** Waits a while before a step of a batch is tried again. Rejects with {@link BatchAbandoned} where the batch is lost by then. */
export async function pauseBatch(
  batch: CommandBatch,
  observer: Observer,
  step: string,
  error: unknown,
  backoff: Backoff,
): Promise<void> {
  const delayMs = backoff.nextDelayMs();
  observer.retrying(step, error, delayMs);
  await pause(delayMs);
  await keepBatchAlive(batch);
}

/**
 * Makes sure, before anything is decided, that the batch is this process's own still. A process that stood still may have
 * lost it, and read a state since that its successor has made. Rejects with {@link BatchAbandoned} where it is lost.
 */
export async function confirmBatch(batch: CommandBatch): Promise<void> {
  while (!batch.isConfirmed()) {
    if (!batch.isCurrent()) throw new BatchAbandoned();
    try {
      await batch.confirm();
    } catch (error) {
      throw new BatchAbandoned({ cause: error });
    }
  }
}

/** Tells the bus that work goes on. Rejects with {@link BatchAbandoned} where the batch is lost. */
export async function keepBatchAlive(batch: CommandBatch): Promise<void> {
  try {
    await batch.keepAlive();
  } catch (error) {
    throw new BatchAbandoned({ cause: error });
  }
  if (!batch.isCurrent()) throw new BatchAbandoned();
}
