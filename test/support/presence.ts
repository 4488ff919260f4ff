import { type PresenceChange, type PresenceWritten } from '../../src/application/ports/presence.js';

/** A connection that has begun. */
export function opened(
  deviceId: string,
  openedAt: number,
  rest: Partial<PresenceChange> = {},
): PresenceChange {
  return {
    deviceId,
    connected: true,
    since: openedAt,
    clientId: deviceId,
    ended: null,
    will: false,
    openedAt,
    connection: `c${openedAt}`,
    ...rest,
  };
}

/** The same one, over. */
export function ended(
  change: PresenceChange,
  since: number,
  rest: Partial<PresenceChange> = {},
): PresenceChange {
  return { ...change, connected: false, since, ended: 'lost', ...rest };
}

/** What a device said on its topic. */
export function told(deviceId: string, connected: boolean, at: number): PresenceChange {
  return opened(deviceId, at, { connected, clientId: null });
}

export function written(
  changes: readonly PresenceChange[],
  rest: Partial<PresenceWritten> = {},
): PresenceWritten {
  return { instance: 'one', at: 1000, isAfresh: false, changes, silentMs: 1e12, ...rest };
}
