import { Backoff } from './backoff.js';
import { BatchAbandoned, INTERNAL_ERROR, pauseBatch } from './batch.js';
import { DeviceLocks } from './device-locks.js';
import { countOutcomes, type DeviceWork, newWork } from './device-work.js';
import { type Incoming, understand } from './incoming.js';
import { type Message } from './outputs.js';
import { type Bus, BusError, type CommandBatch, type CommandMessage } from './ports/bus.js';
import { type RecordDependencies, type RecordOptions, RecordStep } from './record-step.js';

export interface ProcessOptions extends RecordOptions {
  /**
   * Commands that are decided and appended together; while their outputs are on the way, the next ones are decided.
   * Default 250.
   */
  readonly stepCount?: number;
}

export interface ProcessDependencies extends RecordDependencies {
  readonly bus: Pick<Bus, 'publish'>;
  readonly locks: DeviceLocks;
  readonly options: ProcessOptions;
}

const DEFAULT_STEP_COUNT = 250;

/**
 * Processes update and delete commands, a step of a batch at a time: a step is grouped by device, each device's
 * commands are decided in order, the events of all devices are appended together, then all outputs are published
 * together, step after step. It resolves when all are acknowledged, so that the bus may commit the batch.
 */
export class ProcessCommands {
  private readonly step: RecordStep;
  /** A device's outputs go out in the order in which they were recorded, whatever batches its commands came in. */
  private readonly order = new DeviceLocks();

  constructor(private readonly deps: ProcessDependencies) {
    this.step = new RecordStep(deps);
  }

  /** Rejects with `BatchAbandoned` where the batch must come again; for no other reason. */
  async process(batch: CommandBatch): Promise<void> {
    const start = performance.now();
    const { stepCount = DEFAULT_STEP_COUNT } = this.deps.options;
    const outcomes = new Map<string, number>();
    let publishing = Promise.resolve();
    let isLost = false;
    try {
      for (let from = 0; from < batch.messages.length && !isLost; from += stepCount) {
        const messages: Message[][] = [];
        const works = this.group(batch, batch.messages.slice(from, from + stepCount), messages);
        await this.deps.locks.run(works.keys(), async () => {
          await this.step.record(batch, [...works.values()]);
          // A place in the order is taken before the devices are let go.
          const before = publishing;
          publishing = this.order.run(works.keys(), async () => {
            await before;
            await this.publish(batch, messages.flat());
          });
          publishing.catch(() => (isLost = true));
        });
        countOutcomes(works.values(), outcomes);
      }
    } finally {
      // Also of a batch that is given up: its outputs must not fall between those of its repeat.
      await publishing.catch(() => undefined);
    }
    await publishing;
    const { observer } = this.deps;
    for (const [outcome, count] of outcomes) observer.commandsEnded(batch.channel, outcome, count);
    observer.batchEnded(batch.channel, batch.messages.length, performance.now() - start);
  }

  /** One record that nobody thought of must not hold up its partition. */
  private understandAny(message: CommandMessage): Incoming {
    try {
      return understand(message, this.deps.options.limits);
    } catch (error) {
      this.deps.observer.failed('understand', error);
      return { kind: 'dead-letter', message, reason: INTERNAL_ERROR };
    }
  }

  private group(
    batch: CommandBatch,
    step: readonly CommandMessage[],
    messages: Message[][],
  ): Map<string, DeviceWork> {
    const { outputs, observer } = this.deps;
    const works = new Map<string, DeviceWork>();
    for (const message of step) {
      const incoming = this.understandAny(message);
      const own: Message[] = [];
      messages.push(own);
      if (incoming.kind === 'dead-letter') {
        outputs.deadLetter(own, message, incoming.reason);
        const { topic, partition, offset } = message.position;
        observer.refused({
          deviceId: null,
          code: 'dead-letter',
          reason: incoming.reason,
          topic,
          partition,
          offset,
        });
        observer.commandsEnded(batch.channel, 'dead-letter', 1);
        continue;
      }
      let work = works.get(incoming.deviceId);
      if (work === undefined) works.set(incoming.deviceId, (work = newWork(incoming.deviceId)));
      work.items.push({
        command: incoming,
        messages: own,
        outcome: '',
        recalled: undefined,
        isTooLarge: false,
      });
    }
    return works;
  }

  private async publish(batch: CommandBatch, messages: readonly Message[]): Promise<void> {
    if (messages.length === 0) return;
    const { bus, observer } = this.deps;
    const start = performance.now();
    const backoff = new Backoff();
    for (;;) {
      try {
        await bus.publish(messages);
        observer.timed('publish', performance.now() - start);
        return;
      } catch (error) {
        if (error instanceof BusError && !error.canRetry) throw new BatchAbandoned({ cause: error });
        await pauseBatch(batch, observer, 'publish', error, backoff);
      }
    }
  }
}
