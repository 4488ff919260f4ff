import fc from 'fast-check';
import { deriveId } from '../../src/application/identity.js';
import { type EventStore, type NewEvent } from '../../src/application/ports/event-store.js';
import { evolve } from '../../src/replica/evolve.js';
import { type Origin, type ReplicaEvent } from '../../src/replica/events.js';
import { emptyReplica, type Replica } from '../../src/replica/replica.js';
import { encodeData, encodeMetadata, streamOf } from '../../src/replica/stored.js';
import { history, type RandomStep } from '../unit/support/arbitraries.js';
import { commandOf, execute, origin, RECORD, type Step } from '../unit/support/scenario.js';

export interface Recorded {
  readonly event: ReplicaEvent;
  readonly origin: Origin;
  /** True for the last event of its command. */
  readonly isLast: boolean;
}

/** Steps of random histories, one after the other; clocks go back and stand still, versions conflict. */
export function randomSteps(seed: number, count: number): RandomStep[] {
  const steps: RandomStep[] = [];
  for (let run = 0; steps.length < count; run++) {
    // Later histories on a later clock: else all but the first would happen in one millisecond.
    const later = run * 20;
    const samples = fc.sample(history, { seed: seed + run, numRuns: 1 }).flat();
    steps.push(...samples.map((step) => ({ ...step, now: step.now + later })));
  }
  return steps;
}

/** Decides the steps one after the other and records what is accepted, an append for each command. */
export async function recordSteps(
  store: EventStore,
  deviceId: string,
  steps: readonly (RandomStep | Step)[],
): Promise<Recorded[]> {
  const replica = emptyReplica(deviceId);
  const all: Recorded[] = [];
  for (const [offset, step] of steps.entries()) {
    const recorded = await recordStep(store, replica, offset, step);
    if (recorded !== null) all.push(...recorded);
  }
  return all;
}

/** Decides one step on the replica, which is changed by it, and records it; null: it was refused. */
export async function recordStep(
  store: EventStore,
  replica: Replica,
  offset: number,
  step: RandomStep | Step,
): Promise<Recorded[] | null> {
  const { deviceId } = replica;
  const from = origin(offset, {}, { commandId: deriveId(`${deviceId}/${offset}`) });
  const command = commandOf(stepOf(step, replica), from);
  const before = replica.revision;
  const now = 'now' in step ? step.now : (step.at ?? 1000 + offset * 10);
  const { decision } = execute(replica, command, now, RECORD);
  if (decision.kind === 'refused') return null;
  const { events } = decision;
  const [result] = await store.append([
    {
      stream: streamOf(deviceId),
      expectedRevision: before,
      events: events.map((event, index) => stored(deviceId, event, from, index)),
    },
  ]);
  if (result?.kind !== 'appended') throw new Error(`Not recorded: ${result?.kind}`);
  return events.map((event, index) => ({ event, origin: from, isLast: index === events.length - 1 }));
}

function stepOf(step: RandomStep | Step, replica: Replica): Step {
  if (!('versionOff' in step)) return step;
  const { kind, state, versionOff, clientToken } = step;
  const extra = {
    ...(versionOff === undefined ? {} : { version: replica.version + versionOff }),
    ...(clientToken === undefined ? {} : { clientToken }),
  };
  return kind === 'delete' ? { kind, ...extra } : { kind, state, ...extra };
}

function stored(deviceId: string, event: ReplicaEvent, from: Origin, index: number): NewEvent {
  return {
    id: deriveId(`${deviceId}/${from.source.offset}/${index}`),
    type: event.type,
    data: encodeData(deviceId, event),
    metadata: encodeMetadata(from),
  };
}

/** A plain fold of the first so many events: what questions about the past are held against. */
export function plainFold(deviceId: string, recorded: readonly Recorded[], count: number): Replica {
  const replica = emptyReplica(deviceId);
  recorded.slice(0, count).forEach(({ event, origin: from }, index) => evolve(replica, event, from, index));
  return replica;
}
