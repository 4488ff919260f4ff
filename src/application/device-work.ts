import { type NewEvent } from './ports/event-store.js';
import { type Message } from './outputs.js';
import { type IncomingCommand, type Recalled } from './recall.js';
import { type Replica } from '../replica/replica.js';

/** A command of a batch, and how far it is. */
export interface Item {
  readonly command: IncomingCommand;
  /** Its messages, in order; filled once it is decided. */
  readonly messages: Message[];
  outcome: string;
  recalled: Recalled | undefined;
  /** True where the store does not take its events for their size. */
  isTooLarge: boolean;
}

/** The commands of one device in a batch, and how far they are. */
export interface DeviceWork {
  readonly deviceId: string;
  readonly items: Item[];
  /** Items before this one are recorded or refused for good. */
  settled: number;
  /** Items before this one are decided; their events wait in `pending`. */
  decided: number;
  replica: Replica | undefined;
  /** True where the replica was read from the store in this batch; what memory kept may be behind it. */
  isProven: boolean;
  /** True where something since `settled` was decided on the replica, and no append will prove that it was right. */
  needsProof: boolean;
  expectedRevision: number;
  pending: NewEvent[];
  /** The items whose events are pending. */
  pendingItems: Item[];
  /** True where each command has an append of its own: those of all together were too large. */
  oneByOne: boolean;
  conflicts: number;
}

/** Adds how many commands ended in which way. */
export function countOutcomes(works: Iterable<DeviceWork>, counts: Map<string, number>): void {
  for (const work of works) {
    for (const { outcome } of work.items) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  }
}

export function newWork(deviceId: string): DeviceWork {
  return {
    deviceId,
    items: [],
    settled: 0,
    decided: 0,
    replica: undefined,
    isProven: false,
    needsProof: false,
    expectedRevision: -1,
    pending: [],
    pendingItems: [],
    oneByOne: false,
    conflicts: 0,
  };
}

export function clearPending(work: DeviceWork): void {
  work.pending = [];
  work.pendingItems = [];
}
