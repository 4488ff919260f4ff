import { isReplicaId } from '../../replica/limits.js';
import { type Caller, type Role, ROLES } from './rules.js';

const ID = /^[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?$/;
const PATTERN = /^[A-Za-z0-9:._-]{0,128}\*$/;

/** What somebody who can vouch for a caller says of it. */
export interface Claims {
  readonly id: unknown;
  readonly role: unknown;
  readonly devices: unknown;
}

/** The caller that is described; text: what is wrong with the description. */
export function readCaller({ id, role, devices = [] }: Claims): Caller | string {
  if (typeof id !== 'string' || !ID.test(id)) return 'id must be 1 to 255 printable ASCII characters';
  if (!isRole(role)) return `role must be ${ROLES.join(', ').replace(/, (\w+)$/, ' or $1')}`;
  if (!Array.isArray(devices) || !devices.every((pattern) => typeof pattern === 'string')) {
    return 'devices must be an array of strings';
  }
  const wrong = devices.find((pattern) => !isDeviceId(pattern) && !PATTERN.test(pattern));
  if (wrong !== undefined) {
    return `devices holds '${shown(wrong)}', which is neither a device id nor the beginning of one and a *`;
  }
  const problem = problemOf(role, devices);
  return problem ?? { id, role, devices: [...devices] };
}

function isDeviceId(text: string): boolean {
  return isReplicaId(text) && !text.includes('/');
}

function isRole(role: unknown): role is Role {
  return (ROLES as readonly unknown[]).includes(role);
}

function problemOf(role: Role, devices: readonly string[]): string | null {
  switch (role) {
    case 'device':
      return devices.length === 1 && devices[0]?.endsWith('*') === false
        ? null
        : 'a device has exactly one of devices, its own id';
    case 'component':
      return devices.length > 0 ? null : 'a component has one or more of devices; * is all of them';
    case 'analyst':
    case 'operator':
      return devices.length === 0 ? null : `an ${role} has no devices: it reaches all of them`;
    default:
      return role satisfies never;
  }
}

function shown(text: string): string {
  return text
    .toWellFormed()
    .replace(/[^\x20-\x7e]/g, '\uFFFD')
    .slice(0, 130);
}
