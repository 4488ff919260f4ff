import { isEmpty, isObject, type JsonValue, own } from '../replica/json.js';
import { MAX_CLIENT_TOKEN_BYTES } from '../replica/limits.js';
import { mergePatchBetween } from '../replica/merge-patch.js';
import { streamOf } from '../replica/stored.js';
import { answer, type Answer, refuse } from './moments.js';
import { Pacer } from './pacing.js';
import { type Past } from './past.js';
import { type EventStore } from './ports/event-store.js';
import { decode } from './replicas.js';

export interface RevertRequest {
  /** The version whose desired section is wanted again. */
  readonly to: number;
  readonly clientToken?: string;
}

/** Reads `{"to": version, "clientToken"?}`. */
export function readRevert(body: Buffer): Answer<RevertRequest> {
  let root: JsonValue;
  try {
    root = JSON.parse(body.toString('utf8')) as JsonValue;
  } catch {
    return refuse(400, 'Invalid JSON');
  }
  if (!isObject(root)) return refuse(400, 'Invalid JSON');
  const to = own(root, 'to');
  const clientToken = own(root, 'clientToken');
  if (typeof to !== 'number' || !Number.isSafeInteger(to) || to < 0) {
    return refuse(400, 'Invalid to: a version, which is a whole number');
  }
  if (clientToken === undefined) return answer({ to });
  const isToken =
    typeof clientToken === 'string' &&
    clientToken.isWellFormed() &&
    Buffer.byteLength(clientToken) <= MAX_CLIENT_TOKEN_BYTES;
  return isToken ? answer({ to, clientToken }) : refuse(400, 'Invalid clientToken');
}

/** An update that makes the desired section what it was, of the version that it must meet. */
export interface RevertUpdate {
  readonly version: number;
  readonly body: Buffer;
}

/**
 * The update request that puts desired back, keys that were added since as null. It bears the version that it was made
 * for: on another one it would not be exact.
 *
 * One whose message id was recorded before is made for the version of then, so that it has the same bytes and gets its
 * first answer again. Refuses an unknown device or version with 404. Throws `EventStoreError`.
 */
export async function revertUpdate(
  store: EventStore,
  past: Past,
  deviceId: string,
  { to, clientToken }: RevertRequest,
  messageId: string | undefined,
): Promise<Answer<RevertUpdate>> {
  const wanted = await past.replicaOf(deviceId, { kind: 'version', version: to });
  if (!wanted.ok) return wanted;
  const last = await past.last(deviceId);
  let current = await past.replicaAt(deviceId, last?.revision ?? -1);
  if (messageId !== undefined && current.commands?.has(messageId) === true) {
    const before = await revisionBefore(store, deviceId, messageId);
    current = await past.replicaAt(deviceId, before);
  }
  const { version } = current;
  const { desired } = wanted.value;
  const patch = isEmpty(desired) ? null : mergePatchBetween(current.desired, desired);
  const token = clientToken === undefined ? {} : { clientToken };
  return answer({
    version,
    body: Buffer.from(JSON.stringify({ state: { desired: patch }, version, ...token })),
  });
}

/** The revision before the latest command of this message id. */
async function revisionBefore(store: EventStore, deviceId: string, messageId: string): Promise<number> {
  const pacer = new Pacer();
  let found = -1;
  for await (const recorded of store.readStream(streamOf(deviceId), { direction: 'backwards' })) {
    if (pacer.isDue) await pacer.pause();
    const isIt = decode(recorded).origin.messageId === messageId;
    if (isIt) found = recorded.revision - 1;
    else if (found >= 0) break;
  }
  return found;
}
