import { refusals } from '../replica/commands.js';
import { currentDelta, getDocument } from '../replica/documents.js';
import { type Replica } from '../replica/replica.js';
import { type DeviceLocks } from './device-locks.js';
import { deriveId, fingerprintOf } from './identity.js';
import { deviceIdOf, keyReason } from './incoming.js';
import { type Message, type Outputs } from './outputs.js';
import { type Bus, BusError, type CommandBatch, type CommandMessage } from './ports/bus.js';
import { type Clock } from './ports/clock.js';
import { EventStoreError } from './ports/event-store.js';
import { type Observer } from './ports/observer.js';
import { readEnvelopeOnly } from './read-command.js';
import { type Replicas } from './replicas.js';
import { type Limits } from '../replica/limits.js';
import { BatchAbandoned, INTERNAL_ERROR, pauseBatch } from './batch.js';
import { Backoff } from './backoff.js';

/** What a reader is shown of a replica; null: no replica exists. */
export interface Reading {
  readonly version: number;
  /** A get's accepted document. */
  readonly document: string;
}

/** A {@link Reading} that is ready to be sent. */
export interface ReadyReading {
  readonly version: number;
  /** The document in UTF-8, one character for each byte: what goes out as `latin1`. */
  readonly bytes: string;
}

/**
 * How long a reader waits for work that is under way on the device, such as an append to a store that is away. Then it
 * reads the store itself, which takes longer and shows no less.
 */
const PATIENCE_MS = 1000;

/** Answers who asks for the current state: never less than what was accepted, never more than what is durable. */
export class ReadReplica {
  constructor(
    private readonly replicas: Replicas,
    private readonly locks: DeviceLocks,
    private readonly clock: Clock,
  ) {}

  /** Throws `EventStoreError`. */
  get(deviceId: string, clientToken?: string): Promise<Reading | null> {
    return this.withReplica(deviceId, (replica) => ({
      version: replica.version,
      document: getDocument(replica, this.now(replica), clientToken),
    }));
  }

  /**
   * What {@link get} would give, where that is known without waiting: nothing is under way on the device, and the store
   * tells at once that it has no more than the cached replica shows. Null: ask {@link get}.
   */
  getNow(deviceId: string): ReadyReading | null {
    const shown = this.replicas.show(deviceId);
    if (shown === null) return null;
    return { version: shown.version, bytes: `${shown.head}${this.now(shown)}}` };
  }

  /** `document` is null where nothing is outstanding. Throws `EventStoreError`. */
  delta(deviceId: string): Promise<{ version: number; document: string | null } | null> {
    return this.withReplica(deviceId, (replica) => ({
      version: replica.version,
      document: currentDelta(replica, this.now(replica)),
    }));
  }

  private now({ timestamp }: { readonly timestamp: number }): number {
    return Math.max(this.clock(), timestamp);
  }

  private withReplica<T>(deviceId: string, read: (replica: Replica) => T): Promise<T | null> {
    const show = (replica: Replica): T | null => (replica.exists ? read(replica) : null);
    return this.locks.runWithin(
      PATIENCE_MS,
      deviceId,
      async () => {
        const replica = await this.replicas.take(deviceId);
        try {
          return show(replica);
        } finally {
          this.replicas.putBack(replica);
        }
      },
      async () => show(await this.replicas.load(deviceId)),
    );
  }
}

function isClosed(error: unknown): boolean {
  return error instanceof EventStoreError && error.code === 'closed';
}

export interface AnswerDependencies {
  readonly reader: ReadReplica;
  readonly bus: Pick<Bus, 'publish'>;
  readonly outputs: Outputs;
  readonly clock: Clock;
  readonly observer: Observer;
  readonly limits: Limits;
}

/** Answers get commands that come over the bus. */
export class AnswerGets {
  constructor(private readonly deps: AnswerDependencies) {}

  /** Rejects with `BatchAbandoned` where the batch must come again; for no other reason. */
  async process(batch: CommandBatch): Promise<void> {
    const start = performance.now();
    const { bus, observer } = this.deps;
    const backoff = new Backoff();
    for (;;) {
      try {
        const answers = await Promise.all(batch.messages.map((message) => this.answerAny(message)));
        await bus.publish(answers.flatMap(({ messages }) => messages));
        for (const { outcome } of answers) observer.commandsEnded('get', outcome, 1);
        break;
      } catch (error) {
        const isGone = (error instanceof BusError && !error.canRetry) || isClosed(error);
        if (isGone) throw new BatchAbandoned({ cause: error });
        await pauseBatch(batch, observer, 'get', error, backoff);
      }
    }
    observer.batchEnded('get', batch.messages.length, performance.now() - start);
  }

  /** As {@link answer}; what fails for one message in a way that nobody thought of must not hold up the others. */
  private async answerAny(message: CommandMessage): Promise<{ messages: Message[]; outcome: string }> {
    try {
      return await this.answer(message);
    } catch (error) {
      if (error instanceof EventStoreError) throw error;
      const { observer, outputs } = this.deps;
      observer.failed('get', error);
      const messages: Message[] = [];
      outputs.deadLetter(messages, message, INTERNAL_ERROR);
      return { messages, outcome: 'dead-letter' };
    }
  }

  /** Throws where the store is away. */
  private async answer(message: CommandMessage): Promise<{ messages: Message[]; outcome: string }> {
    const { reader, outputs, clock, observer, limits } = this.deps;
    const messages: Message[] = [];
    const { topic, partition, offset, timestamp } = message.position;
    const deviceId = deviceIdOf(message.key);
    if (deviceId === null) {
      const reason = keyReason(message);
      outputs.deadLetter(messages, message, reason);
      observer.refused({ deviceId, code: 'dead-letter', reason, topic, partition, offset });
      return { messages, outcome: 'dead-letter' };
    }
    const id = deriveId(
      `g/${topic}/${partition}/${offset}/${timestamp}/${fingerprintOf('get', message.value)}`,
    );
    const request = readEnvelopeOnly(message.value, limits);
    const clientToken = request.ok ? request.request.clientToken : request.clientToken;
    let refusal = request.ok ? null : request.refusal;
    if (refusal === null) {
      try {
        const reading = await reader.get(deviceId, clientToken);
        if (reading !== null) {
          const response = { version: reading.version, timestamp: clock(), accepted: reading.document };
          outputs.accepted(messages, message, deviceId, id, response);
          return { messages, outcome: 'accepted' };
        }
        refusal = refusals.notFound(deviceId);
      } catch (error) {
        if (!(error instanceof EventStoreError) || error.canRetry || error.code === 'closed') throw error;
        observer.failed('get', error);
        refusal = { code: 500, message: `The state of this device cannot be read: ${error.code}` };
      }
    }
    outputs.rejected(messages, message, deviceId, id, refusal, clock(), clientToken);
    observer.refused({ deviceId, code: refusal.code, reason: refusal.message, topic, partition, offset });
    return { messages, outcome: String(refusal.code) };
  }
}
