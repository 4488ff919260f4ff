import { isEmpty, own } from '../replica/json.js';
import { MAX_CLIENT_TOKEN_BYTES } from '../replica/limits.js';
import { mergePatchBetween } from '../replica/merge-patch.js';
import { streamOf } from '../replica/stored.js';
import { answer, type Answer, refuse } from './moments.js';
import { Pacer } from './pacing.js';
import { type Past } from './past.js';
import { type Reply } from './ports/bus.js';
import { type EventStore } from './ports/event-store.js';
import { readObject } from './read-command.js';
import { decode } from './replicas.js';

export interface RevertRequest {
  /** The version whose desired section is wanted again. */
  readonly to: number;
  readonly clientToken?: string;
}

/** Reads `{"to": version, "clientToken"?}`. */
export function readRevert(body: Buffer): Answer<RevertRequest> {
  const read = readObject(body);
  if (!read.ok) return read;
  const root = read.value;
  const to = own(root, 'to');
  const clientToken = own(root, 'clientToken');
  if (typeof to !== 'number' || !Number.isSafeInteger(to) || to < 0) {
    return refuse(400, 'Invalid to: a version, which is a whole number');
  }
  if (clientToken === undefined) return answer({ to });
  const isToken = typeof clientToken === 'string' && Buffer.byteLength(clientToken) <= MAX_CLIENT_TOKEN_BYTES;
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
    const before = await revisionBefore(store, past, deviceId, messageId);
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

/** Each is lost only to an update of the same device that came between. */
const MAX_TRIES = 8;

/**
 * Sends a revert in, and gives its answer. One that is refused is made anew where the device has another version by
 * then, since it was perhaps made for one that was gone.
 *
 * @param make gives the update for the version of now
 * @param send sends it in as a command; what it throws is thrown
 * @param canRetry false: the client itself named a version, and an update between is a conflict
 */
export async function sendRevert(
  make: () => Promise<Answer<RevertUpdate>>,
  send: (body: Buffer) => Promise<Reply>,
  canRetry: boolean,
): Promise<Answer<Reply>> {
  let refused: { readonly reply: Reply; readonly version: number } | undefined;
  for (let tries = 1; ; tries++) {
    const update = await make();
    if (!update.ok) return update;
    const { version, body } = update.value;
    if (refused?.version === version) return answer(refused.reply);
    const reply = await send(body);
    if (reply.accepted || !canRetry || tries === MAX_TRIES) return answer(reply);
    refused = { reply, version };
  }
}

/** The revision before the latest command of this message id. */
async function revisionBefore(
  store: EventStore,
  past: Past,
  deviceId: string,
  messageId: string,
): Promise<number> {
  const pacer = new Pacer();
  let found = -1;
  for await (const recorded of store.readStream(streamOf(deviceId), { direction: 'backwards' })) {
    past.throwIfAborted();
    if (pacer.isDue) await pacer.pause();
    const isIt = decode(recorded).origin.messageId === messageId;
    if (isIt) found = recorded.revision - 1;
    else if (found >= 0) break;
  }
  return found;
}
