import type { CommandChannel, CommandMessage } from '../../../application/ports/bus.js';
import { bytesOf, type UnitLimits } from '../work-units.js';

export interface QueueLimits {
  /** The most commands that wait. */
  readonly maxQueueCount: number;
  /** The most bytes (keys and values) that wait. */
  readonly maxQueueBytes: number;
}

/** Commands of one channel that wait, bounded in count and bytes. */
export class CommandQueue {
  private messages: CommandMessage[] = [];
  private bytes = 0;

  constructor(
    readonly channel: CommandChannel,
    private readonly limits: QueueLimits,
  ) {}

  get count(): number {
    return this.messages.length;
  }

  /** False, and nothing is queued, when it is full. */
  push(message: CommandMessage): boolean {
    const bytes = this.bytes + bytesOf(message);
    if (this.messages.length >= this.limits.maxQueueCount || bytes > this.limits.maxQueueBytes) return false;
    this.messages.push(message);
    this.bytes = bytes;
    return true;
  }

  /** The first unit of what waits; empty when nothing does. */
  take(limits: UnitLimits): CommandMessage[] {
    let count = 0;
    let bytes = 0;
    for (const message of this.messages) {
      const size = bytesOf(message);
      if (count > 0 && (count >= limits.maxBatchCount || bytes + size > limits.maxBatchBytes)) break;
      count++;
      bytes += size;
    }
    this.bytes -= bytes;
    return this.messages.splice(0, count);
  }
}
