import type { BatchHandler, CommandBatch, CommandMessage } from '../../../application/ports/bus.js';
import { Backoff } from '../../../application/backoff.js';
import { messageOf, pause } from '../../../application/timing.js';
import type { ResolvedOptions } from './options.js';

const REDELIVERY_FIRST_MS = 100;
const REDELIVERY_LAST_MS = 5_000;
/** kafkajs sends one only where its own interval is over. */
const HEARTBEAT_MS = 1_000;

/** A batch that takes longer is told in the readiness. */
const LONG_MS = 30_000;

/** What a delivery needs of the session that it belongs to. */
export interface DeliveryContext {
  readonly options: ResolvedOptions;
  /** Rejects with kafkajs's error when the partition was lost. */
  readonly heartbeat: () => Promise<void>;
  /** Whether the partition still belongs to this session. */
  readonly isHeld: () => boolean;
  /** Whether no other member can have the partition by now. */
  readonly isConfirmed: () => boolean;
  /** Asks the group's coordinator. Rejects with kafkajs's error where the partition was lost. */
  readonly confirm: () => Promise<void>;
  /** Aborted when nothing is to be begun any more. */
  readonly stopping: AbortSignal;
  /** Takes why commands are held up; null: they are not. */
  readonly report: (problem: string | null) => void;
}

/**
 * Hands one unit of work to its handler until that succeeds.
 *
 * @returns true: processed, to be committed; false: given up, since the partition went or the bus stops. Rejects with
 *   kafkajs's error when the group is to be joined again.
 */
export async function deliver(
  handler: BatchHandler,
  messages: readonly [CommandMessage, ...CommandMessage[]],
  context: DeliveryContext,
): Promise<boolean> {
  const { options, heartbeat, stopping, report } = context;
  const { topic, partition, offset } = messages[0].position;
  const backoff = new Backoff(REDELIVERY_FIRST_MS, REDELIVERY_LAST_MS);
  let lost: Error | undefined;
  const isHeld = (): boolean => lost === undefined && context.isHeld();
  const orLost = async (call: () => Promise<void>): Promise<void> => {
    try {
      await call();
    } catch (error) {
      lost ??= error as Error; // kafkajs throws nothing else
      throw error;
    }
  };
  const batch: CommandBatch = {
    channel: messages[0].channel,
    messages,
    isCurrent: isHeld,
    keepAlive: () => orLost(heartbeat),
    isConfirmed: () => isHeld() && context.isConfirmed(),
    confirm: () => orLost(context.confirm),
  };
  for (;;) {
    let failure: unknown;
    const start = Date.now();
    // Whatever the handler does meanwhile: a member that gives no sign of life loses its partitions, and the same work
    // would begin elsewhere.
    const signs = setInterval(() => {
      if (!isHeld()) return clearInterval(signs);
      batch.keepAlive().catch(() => undefined);
      const seconds = Math.round((Date.now() - start) / 1000);
      if (seconds * 1000 >= LONG_MS) {
        report(`${topic}[${partition}] has been at offset ${offset} for ${seconds} s`);
      }
    }, HEARTBEAT_MS);
    try {
      await handler(batch);
      if (isHeld()) {
        report(null);
        return true;
      }
    } catch (error) {
      failure = error;
    } finally {
      clearInterval(signs);
    }
    if (lost !== undefined) throw lost;
    if (!isHeld() || stopping.aborted) return false;

    const delayMs = backoff.nextDelayMs();
    report(`${topic}[${partition}] is held up at offset ${offset}: ${messageOf(failure)}`);
    options.logger.warn(
      { topic, partition, offset, count: messages.length, delayMs, err: failure },
      'Batch failed, will be delivered again',
    );
    options.metrics.redelivery?.(topic, partition);
    const until = Date.now() + delayMs;
    while (Date.now() < until && !stopping.aborted) {
      await pause(Math.min(HEARTBEAT_MS, until - Date.now()), stopping);
      await heartbeat();
    }
    if (stopping.aborted) return false;
  }
}
