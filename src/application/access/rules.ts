/**
 * Who may do what. The whole of it stands in {@link RULES}; all that lets somebody in, over whatever protocol, asks
 * the functions below.
 */
import { type Refusal, type RequestedState } from '../../replica/commands.js';

export const ROLES = ['device', 'component', 'analyst', 'operator'] as const;
export type Role = (typeof ROLES)[number];

export const ACTIONS = [
  /** The state and the delta of a device, as they are now. */
  'read',
  /** The state as it was, the events, what changed and why, and what became of desired changes. */
  'history',
  /** A device's outputs, as they come. */
  'follow',
  'report',
  'desire',
  'delete',
  'revert',
  /** Questions over many devices. */
  'list-fleet',
  /** The outputs of many devices, as they come. */
  'follow-fleet',
  /** The read model's state, and to make it anew. */
  'operate',
  'metrics',
  /** The OpenAPI page. */
  'docs',
] as const;
export type Action = (typeof ACTIONS)[number];

/** `own`: for the caller's own devices; for a question over many, with a prefix that means no others. */
export type Reach = 'none' | 'own' | 'all';

export const RULES: Readonly<Record<Role, Readonly<Record<Action, Reach>>>> = {
  device: {
    read: 'own',
    history: 'none',
    follow: 'own',
    report: 'own',
    desire: 'none',
    delete: 'none',
    revert: 'none',
    'list-fleet': 'none',
    'follow-fleet': 'none',
    operate: 'none',
    metrics: 'none',
    docs: 'none',
  },
  component: {
    read: 'own',
    history: 'own',
    follow: 'own',
    report: 'own',
    desire: 'own',
    delete: 'own',
    revert: 'own',
    'list-fleet': 'own',
    'follow-fleet': 'own',
    operate: 'none',
    metrics: 'none',
    docs: 'all',
  },
  analyst: {
    read: 'all',
    history: 'all',
    follow: 'all',
    report: 'none',
    desire: 'none',
    delete: 'none',
    revert: 'none',
    'list-fleet': 'all',
    'follow-fleet': 'all',
    operate: 'none',
    metrics: 'all',
    docs: 'all',
  },
  operator: {
    read: 'all',
    history: 'all',
    follow: 'all',
    report: 'all',
    desire: 'all',
    delete: 'all',
    revert: 'all',
    'list-fleet': 'all',
    'follow-fleet': 'all',
    operate: 'all',
    metrics: 'all',
    docs: 'all',
  },
};

/** What a caller is told who may not. The same for a device that exists and for one that does not. */
export const FORBIDDEN: Refusal = { code: 403, message: 'This caller may not do so' };

/** Somebody who is known. */
export interface Caller {
  /** For logs. */
  readonly id: string;
  readonly role: Role;
  /** Its own devices: an id, or what ids begin with and a `*`. A device has exactly one, its id. Their named replicas are theirs. */
  readonly devices: readonly string[];
}

/** By what callers are told apart, where somebody counts what they do. */
export function nameOf({ role, id, devices }: Caller): string {
  // A device is one by whatever credentials.
  return `${role} ${role === 'device' ? devices[0] : id}`;
}

/** Whether there is anything at all that the caller may do so. */
export function mayEver(caller: Caller, action: Action): boolean {
  return RULES[caller.role][action] !== 'none';
}

/** @param replicaId of the device's main replica, which is its own id, or of one of its named ones */
export function mayOnDevice(caller: Caller, action: Action, replicaId: string): boolean {
  return reaches(
    caller,
    action,
    (pattern) => replicaId === pattern || replicaId.startsWith(beginningOf(pattern)),
  );
}

/** For all replicas whose ids begin so, those that are yet to come as well; empty: for every one. */
export function mayOnPrefix(caller: Caller, action: Action, prefix: string): boolean {
  return reaches(caller, action, (pattern) => prefix.startsWith(beginningOf(pattern)));
}

/** What the ids of a pattern's replicas begin with; of one device, those of its named ones. */
function beginningOf(pattern: string): string {
  return pattern.endsWith('*') ? pattern.slice(0, -1) : `${pattern}/name/`;
}

/** @param state of the update; null removes both sections */
export function mayUpdate(caller: Caller, replicaId: string, state: RequestedState | null): boolean {
  const reports = state === null || state.reported !== undefined;
  const desires = state === null || state.desired !== undefined;
  if (!reports && !desires) return mayOnDevice(caller, 'report', replicaId);
  return (
    (!reports || mayOnDevice(caller, 'report', replicaId)) &&
    (!desires || mayOnDevice(caller, 'desire', replicaId))
  );
}

function reaches(caller: Caller, action: Action, isOwn: (pattern: string) => boolean): boolean {
  const reach = RULES[caller.role][action];
  return reach === 'all' || (reach === 'own' && caller.devices.some(isOwn));
}
