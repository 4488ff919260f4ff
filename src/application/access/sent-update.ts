import { type RequestedState } from '../../replica/commands.js';
import { isObject, type JsonValue, own } from '../../replica/json.js';
import { type Caller, mayUpdate } from './rules.js';

/**
 * Whether the caller may send this update. The body is read for callers alone that may not do both, report and desire.
 * One that is no update, whatever the limits of who decides on it, is let through, to be refused as a command.
 */
export function maySendUpdate(caller: Caller, deviceId: string, body: Uint8Array): boolean {
  if (mayUpdate(caller, deviceId, null)) return true;
  const state = stateOf(body);
  return state === undefined || mayUpdate(caller, deviceId, state);
}

/** As the command's reader sees it: that, too, parses so, and refuses keys that stand there twice. */
function stateOf(body: Uint8Array): RequestedState | null | undefined {
  let root: JsonValue;
  try {
    root = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.length).toString('utf8')) as JsonValue;
  } catch {
    return undefined;
  }
  const state = isObject(root) ? own(root, 'state') : undefined;
  if (state === null) return null;
  if (!isObject(state)) return undefined;
  const reported = own(state, 'reported');
  const desired = own(state, 'desired');
  return {
    ...(reported === undefined ? {} : { reported: {} }),
    ...(desired === undefined ? {} : { desired: {} }),
  };
}
