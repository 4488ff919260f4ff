import { isDeepStrictEqual } from 'node:util';
import { expect } from '@jest/globals';
import { type Command, type Refusal, type RequestedState } from '../../../src/replica/commands.js';
import { decide, type DecideOptions, type Decision } from '../../../src/replica/decide.js';
import { getDocument } from '../../../src/replica/documents.js';
import { type Origin, type ReplicaEvent, type Source } from '../../../src/replica/events.js';
import { DEFAULT_LIMITS } from '../../../src/replica/limits.js';
import { emptyReplica, type Replica } from '../../../src/replica/replica.js';
import { applyAndRespond, respondUnchanged, type Response } from '../../../src/replica/respond.js';
import { type Json } from './oracle.js';

export const RECORD: DecideOptions = { limits: DEFAULT_LIMITS, unchangedUpdates: 'record' };
export const SKIP: DecideOptions = { limits: DEFAULT_LIMITS, unchangedUpdates: 'skip' };

export const withLimit = (maxStateBytes: number): DecideOptions => ({
  ...RECORD,
  limits: { ...DEFAULT_LIMITS, maxStateBytes },
});

/** A command's origin: the nth record of its partition, one millisecond after the one before it. */
export function origin(
  offset: number,
  source: Partial<Source> = {},
  rest: Partial<Omit<Origin, 'source'>> = {},
): Origin {
  return {
    commandId: `command-${offset}`,
    fingerprint: `update:${offset}`,
    source: {
      topic: 'state.update',
      partition: 0,
      offset,
      timestamp: 1_000 + offset,
      log: 'first-life',
      ...source,
    },
    ...rest,
  };
}

/** A command without its origin, and the time at which it is decided (absent: 100 after the one before it). */
export type Step = (
  { readonly kind: 'update'; readonly state: RequestedState | null } | { readonly kind: 'delete' }
) & {
  readonly version?: number;
  readonly mustExist?: boolean;
  readonly clientToken?: string;
  readonly at?: number;
};

type Extra = Partial<Pick<Step, 'version' | 'mustExist' | 'clientToken' | 'at'>>;

export const update = (state: RequestedState | null, extra: Extra = {}): Step => ({
  kind: 'update',
  state,
  ...extra,
});
export const remove = (extra: Extra = {}): Step => ({ kind: 'delete', ...extra });

export function commandOf({ at: _, ...rest }: Step, from: Origin): Command {
  return { ...rest, origin: from };
}

export interface Document {
  readonly state?: Json;
  readonly changed?: Json;
  readonly metadata?: Json;
  readonly version?: number;
  readonly timestamp?: number;
  readonly clientToken?: string;
  readonly previous?: Json;
  readonly current?: Json;
}

export interface Outcome {
  /** Null: accepted. */
  readonly refusal: Refusal | null;
  readonly events: readonly ReplicaEvent[];
  readonly accepted: Document | undefined;
  /** Undefined: no delta message. */
  readonly delta: Document | undefined;
  readonly documents: Document | null | undefined;
  /** What a get answers afterwards, at time 0. */
  readonly get: Document;
  readonly replica: Replica;
}

const parsed = (text: string | undefined): Document | undefined =>
  text === undefined ? undefined : (JSON.parse(text) as Document);

/** Decides a command and, where it is accepted, folds its events. */
export function execute(
  replica: Replica,
  command: Command,
  now: number,
  options: DecideOptions,
): { decision: Decision; response: Response | null } {
  const decision = decide(replica, command, now, options);
  if (decision.kind === 'refused') return { decision, response: null };
  if (decision.events.length === 0) {
    if (command.kind !== 'update') throw new Error('A delete always has an event');
    return { decision, response: respondUnchanged(replica, command) };
  }
  const response = applyAndRespond(replica, decision.events, command.origin, replica.revision + 1, true);
  return { decision, response };
}

class Given {
  private readonly replica = emptyReplica('d1');
  private steps = 0;

  constructor(steps: readonly Step[]) {
    for (const step of steps) {
      const { refusal } = this.when(step);
      if (refusal !== null) throw new Error(`A given step was refused: ${refusal.message}`);
    }
  }

  when(step: Step, options = RECORD): Outcome {
    const { replica } = this;
    const command = commandOf(step, origin(this.steps++));
    const { decision, response } = execute(replica, command, step.at ?? this.steps * 100, options);
    return {
      refusal: decision.kind === 'refused' ? decision.refusal : null,
      events: decision.kind === 'refused' ? [] : decision.events,
      accepted: parsed(response?.accepted),
      delta: parsed(response?.delta),
      documents: response?.documents === null ? null : parsed(response?.documents),
      get: JSON.parse(getDocument(replica, 0)) as Document,
      replica,
    };
  }
}

/** The steps before are decided at 100, 200, … and must be accepted. */
export function given(...steps: Step[]): Given {
  return new Given(steps);
}

/** Freezes a value and all that it holds, so that changing any of it throws. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}

/** As `toStrictEqual`, whose slow walk is only needed to say what differs. */
export function expectSame(actual: unknown, expected: unknown): void {
  if (!isDeepStrictEqual(actual, expected)) expect(actual).toStrictEqual(expected);
}
