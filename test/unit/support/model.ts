import { type Command } from '../../../src/replica/commands.js';
import { type DecideOptions } from '../../../src/replica/decide.js';
import { type ReplicaEvent } from '../../../src/replica/events.js';
import { emptyReplica, type Replica } from '../../../src/replica/replica.js';
import { type Response } from '../../../src/replica/respond.js';
import { type RandomStep } from './arbitraries.js';
import { type JsonMap, NOTHING, remove, type Shadow, update, type Verdict } from './oracle.js';
import { execute, origin } from './scenario.js';

/** One command of a random history: what the core made of it, and what the oracle says. */
export interface Lived {
  readonly command: Command;
  readonly before: Shadow;
  readonly verdict: Verdict;
  readonly refused: number | null;
  readonly events: readonly ReplicaEvent[];
  readonly response: Response | null;
  readonly firstRevision: number;
  readonly replica: Replica;
}

export function commandFor(step: RandomStep, version: number, index: number): Command {
  const common = {
    origin: origin(index, {}, index % 3 === 0 ? { messageId: `m${index}` } : {}),
    ...(step.versionOff === undefined ? {} : { version: version + step.versionOff }),
    ...(step.clientToken === undefined ? {} : { clientToken: step.clientToken }),
  };
  return step.kind === 'delete'
    ? { kind: 'delete', ...common }
    : { kind: 'update', state: step.state, ...common };
}

/** Lives a random history in the core and in the oracle alike; tells of each command. */
export function live(
  steps: readonly RandomStep[],
  options: DecideOptions,
  tell: (lived: Lived) => void,
): Replica {
  const replica = emptyReplica('d1');
  let shadow = NOTHING;
  steps.forEach((step, index) => {
    const command = commandFor(step, shadow.version, index);
    const before = shadow;
    const firstRevision = replica.revision + 1;
    const verdict = judge(shadow, command, step.now, options.limits.maxStateBytes);
    const { decision, response } = execute(replica, command, step.now, options);
    if ('shadow' in verdict) shadow = verdict.shadow;
    tell({
      command,
      before,
      verdict,
      refused: decision.kind === 'refused' ? decision.refusal.code : null,
      events: decision.kind === 'refused' ? [] : decision.events,
      response,
      firstRevision,
      replica,
    });
  });
  return replica;
}

function judge(shadow: Shadow, command: Command, now: number, maxStateBytes: number): Verdict {
  if (command.kind === 'update') {
    const { state, version, clientToken } = command;
    return update(
      shadow,
      {
        state: state,
        ...(version === undefined ? {} : { version }),
        ...(clientToken === undefined ? {} : { clientToken }),
      },
      now,
      maxStateBytes,
    );
  }
  if (command.version !== undefined && command.version !== shadow.version) return { code: 409 };
  if (!shadow.exists) return { code: 404 };
  const after = remove(shadow, now);
  const token: JsonMap = command.clientToken === undefined ? {} : { clientToken: command.clientToken };
  const accepted = { version: after.version, timestamp: after.timestamp, ...token };
  return { shadow: after, accepted, delta: undefined, documents: null };
}

/** What is read back from the store: the parts that are not stored are not compared. */
export function withoutCounted(replica: Replica): Replica {
  return { ...replica, reportedBytes: -1, desiredBytes: -1, bytesAtMost: Infinity, bytesCounted: 0 };
}
