import { randomBytes } from 'node:crypto';
import { isObject, own, parsedOrNull } from '../replica/json.js';
import { type Clock } from './ports/clock.js';
import { type Presence } from './ports/presence.js';

/** What a device tells of itself is far shorter. */
const MAX_TOLD_BYTES = 4096;

/** As it is shown, by REST and on the topic. */
export function presenceDocument({ connected, since, clientId, ended, will }: Presence): string {
  return JSON.stringify({
    connected,
    since,
    ...(clientId === null ? {} : { clientId }),
    ...(ended === null ? {} : { ended, will }),
  });
}

/** What a device tells on its topic, `{"connected": true}` or false; null: something else. */
export function toldPresence(payload: Buffer): boolean | null {
  const document = payload.length > MAX_TOLD_BYTES ? null : parsedOrNull(payload.toString());
  const connected = isObject(document) ? own(document, 'connected') : undefined;
  return typeof connected === 'boolean' ? connected : null;
}

/** When a connection began, and its name; each is after those before it, also where the clock goes back. */
export type NextConnection = () => { readonly openedAt: number; readonly connection: string };

export function connectionsOf(clock: Clock): NextConnection {
  const process = randomBytes(6).toString('base64url');
  let count = 0;
  let openedAt = 0;
  return () => {
    openedAt = Math.max(openedAt, clock());
    return { openedAt, connection: `${process}${(count++).toString(36).padStart(9, '0')}` };
  };
}
