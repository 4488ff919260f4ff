/**
 * Checks what a run left behind against what the service promises. It knows nothing of how the service works: only
 * the commands that were sent, the outputs that came, what the event store holds, and the contract.
 */
import { type Changes, isSame, merged, outstanding, type Section } from './replica-model.js';

export interface SentCommand {
  /** Its clientToken, unique in the run; also of what is no command to the service, as a part of its bytes. */
  readonly token: string;
  readonly deviceId: string;
  readonly expected: 'accepted' | 'rejected' | 'dead-letter';
  /** What it changes, where it is accepted; the sections are flat. */
  readonly state: Changes;
  /**
   * Its topic was deleted, perhaps before it was read, or between its recording and its answer. Then neither need be;
   * but nothing else may have become of it.
   */
  readonly mayBeLost?: boolean;
}

export interface SeenOutput {
  readonly deviceId: string;
  readonly channel: 'accepted' | 'rejected' | 'delta' | 'dead-letter';
  /** The document's bytes as text. */
  readonly value: string;
}

export interface SeenEvent {
  readonly deviceId: string;
  readonly version: number;
  readonly token: string | undefined;
}

/** What a caller was told at once, that its command was accepted. */
export interface Acknowledged {
  readonly token: string;
  readonly version: number;
}

export interface CheckOptions {
  /** What callers were told. Default: nobody was. */
  readonly acknowledged?: readonly Acknowledged[];
  /**
   * Where outputs may come again: after a crash from an earlier one on, none left out; `anywhere`: also single ones, late,
   * as from an instance that stood still and goes on. Default: as after a crash.
   */
  readonly repeats?: 'from an earlier one on' | 'anywhere';
}

interface Content {
  readonly clientToken?: string;
  readonly version?: number;
  readonly state?: Section;
}

interface ReadOutput {
  readonly deviceId: string;
  readonly channel: SeenOutput['channel'];
  readonly value: string;
  readonly content: Content;
}

/** One line for each broken promise; empty: all were kept. Outputs and events in the order in which they stand. */
export function brokenPromises(
  commands: readonly SentCommand[],
  outputs: readonly SeenOutput[],
  events: readonly SeenEvent[],
  { acknowledged = [], repeats = 'from an earlier one on' }: CheckOptions = {},
): string[] {
  const broken: string[] = [];
  const byToken = new Map(commands.map((command) => [command.token, command]));
  const read = outputs.map((output) => ({ ...output, content: JSON.parse(output.value) as Content }));
  const versions = checkStore(commands, events, broken);
  checkOrigins(byToken, read, events, broken);
  checkRepeats(read, broken);
  checkAnswers(commands, read, versions, broken);
  checkDeltas(byToken, read, events, broken);
  for (const { token, version } of acknowledged) {
    const recorded = versions.get(token);
    if (recorded !== version)
      broken.push(`callers: ${token} was told version ${version}, the store has ${recorded}`);
  }
  const inOrder = repeats === 'anywhere' ? firstOnes(read) : read;
  checkOrder('accepted', byToken, inOrder, broken);
  checkOrder('delta', byToken, inOrder, broken);
  return broken;
}

/** @returns the version that each token was recorded as */
function checkStore(
  commands: readonly SentCommand[],
  events: readonly SeenEvent[],
  broken: string[],
): Map<string, number> {
  const last = new Map<string, number>();
  const versions = new Map<string, number>();
  for (const { deviceId, version, token } of events) {
    const before = last.get(deviceId) ?? 0;
    if (version !== before + 1) broken.push(`store: ${deviceId} goes from version ${before} to ${version}`);
    last.set(deviceId, version);
    if (token === undefined) continue;
    if (versions.has(token))
      broken.push(`store: ${token} is recorded twice, as ${versions.get(token)} and ${version}`);
    versions.set(token, version);
  }
  for (const { token, expected, mayBeLost } of commands) {
    const isRecorded = versions.has(token);
    if (expected === 'accepted' && !isRecorded && mayBeLost !== true) {
      broken.push(`store: ${token} is not recorded`);
    }
    if (expected !== 'accepted' && isRecorded) {
      broken.push(`store: ${token} is recorded, and was to be refused`);
    }
  }
  return versions;
}

/** Everything that is there comes from a command, and belongs to its device. */
function checkOrigins(
  byToken: ReadonlyMap<string, SentCommand>,
  outputs: readonly ReadOutput[],
  events: readonly SeenEvent[],
  broken: string[],
): void {
  const check = (place: string, token: string | undefined, deviceId: string): void => {
    const command = token === undefined ? undefined : byToken.get(token);
    if (command === undefined) broken.push(`${place}: ${deviceId} has something of nobody, ${token}`);
    else if (command.deviceId !== deviceId) broken.push(`${place}: ${deviceId} has what is ${token}'s`);
  };
  for (const { token, deviceId } of events) check('store', token, deviceId);
  for (const { content, deviceId } of outputs) check('outputs', content.clientToken, deviceId);
}

/** Without those that had been there. */
function firstOnes(outputs: readonly ReadOutput[]): ReadOutput[] {
  const seen = new Set<string>();
  return outputs.filter(({ channel, content }) => {
    const key = `${channel} ${content.clientToken}`;
    return !seen.has(key) && seen.add(key);
  });
}

/** An output may come again after a crash, byte for byte. */
function checkRepeats(outputs: readonly ReadOutput[], broken: string[]): void {
  const texts = new Map<string, string>();
  for (const { channel, value, content } of outputs) {
    const key = `${channel} ${content.clientToken}`;
    const before = texts.get(key);
    if (before !== undefined && before !== value) broken.push(`outputs: ${key} came again as another text`);
    texts.set(key, value);
  }
}

function checkAnswers(
  commands: readonly SentCommand[],
  outputs: readonly ReadOutput[],
  versions: ReadonlyMap<string, number>,
  broken: string[],
): void {
  const answered = {
    accepted: new Set<string>(),
    rejected: new Set<string>(),
    'dead-letter': new Set<string>(),
  };
  for (const { channel, content } of outputs) {
    const { clientToken, version } = content;
    if (clientToken === undefined || channel === 'delta') continue;
    answered[channel].add(clientToken);
    if (channel === 'accepted' && versions.get(clientToken) !== version) {
      const recorded = versions.get(clientToken);
      broken.push(`outputs: accepted ${clientToken} says version ${version}, the store ${recorded}`);
    }
  }
  for (const { token, expected, mayBeLost } of commands) {
    for (const channel of ['accepted', 'rejected', 'dead-letter'] as const) {
      const isAnswered = answered[channel].has(token);
      if (channel !== expected && isAnswered) broken.push(`outputs: ${token} was ${channel}`);
      if (channel === expected && !isAnswered && mayBeLost !== true)
        broken.push(`outputs: ${token} was not ${channel}`);
    }
  }
}

/** A delta for each update that left a difference or changed a value, and no other; all that is outstanding in it. */
function checkDeltas(
  byToken: ReadonlyMap<string, SentCommand>,
  outputs: readonly ReadOutput[],
  events: readonly SeenEvent[],
  broken: string[],
): void {
  const deltas = new Map<string, Content>();
  for (const { channel, content } of outputs) {
    if (channel === 'delta' && content.clientToken !== undefined) deltas.set(content.clientToken, content);
  }
  const devices = new Map<string, { reported: Section; desired: Section }>();
  for (const { deviceId, version, token } of events) {
    const command = token === undefined ? undefined : byToken.get(token);
    if (token === undefined || command === undefined) continue;
    const before = devices.get(deviceId) ?? { reported: {}, desired: {} };
    const after = {
      reported: merged(before.reported, command.state.reported),
      desired: merged(before.desired, command.state.desired),
    };
    devices.set(deviceId, after);
    const open = outstanding(after.desired, after.reported);
    const isChanged = !isSame(before.reported, after.reported) || !isSame(before.desired, after.desired);
    const isDue = isChanged || Object.keys(open).length > 0;
    const delta = deltas.get(token);
    deltas.delete(token);
    if (delta === undefined) {
      if (isDue && command.mayBeLost !== true) broken.push(`outputs: delta ${token} did not come`);
      continue;
    }
    if (!isDue) broken.push(`outputs: delta ${token} came for nothing`);
    if (delta.version !== version) {
      broken.push(`outputs: delta ${token} says version ${delta.version}, the store ${version}`);
    }
    if (!isSame(delta.state ?? {}, open)) {
      broken.push(`outputs: delta ${token} is ${JSON.stringify(delta.state)}, not ${JSON.stringify(open)}`);
    }
  }
  for (const token of deltas.keys()) broken.push(`outputs: delta ${token} is of nothing that is recorded`);
}

/**
 * A device's outputs come in the order of their versions. After a crash they may come again from an earlier one on,
 * and then, too, none is left out, but for those whose topic was deleted amid the repeats: they were there before.
 * That none is missing altogether is not looked at here.
 */
function checkOrder(
  channel: 'accepted' | 'delta',
  byToken: ReadonlyMap<string, SentCommand>,
  outputs: readonly ReadOutput[],
  broken: string[],
): void {
  const byDevice = new Map<string, { version: number; mayBeLost: boolean }[]>();
  for (const output of outputs) {
    if (output.channel !== channel) continue;
    const seen = byDevice.get(output.deviceId) ?? [];
    byDevice.set(output.deviceId, seen);
    const { version = NaN, clientToken = '' } = output.content;
    seen.push({ version, mayBeLost: byToken.get(clientToken)?.mayBeLost === true });
  }
  for (const [deviceId, seen] of byDevice) {
    const distinct = [...new Map(seen.map((one) => [one.version, one])).values()].sort(
      (a, b) => a.version - b.version,
    );
    const ranks = new Map(distinct.map(({ version }, index) => [version, index]));
    let before = -1;
    let last = -1;
    for (const { version } of seen) {
      const rank = ranks.get(version) ?? 0;
      const leftOut = distinct.slice(before + 1, rank);
      const isRepeatCutShort = last >= rank - 1 && leftOut.every(({ mayBeLost }) => mayBeLost);
      if (rank > before + 1 && !isRepeatCutShort) {
        const from = distinct[before]?.version ?? 0;
        broken.push(`outputs: ${channel} of ${deviceId} goes from version ${from} to ${version}`);
      }
      before = rank;
      last = Math.max(last, rank);
    }
  }
}
