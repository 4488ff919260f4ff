/**
 * Checks what a run left behind against what the service promises. It knows nothing of how the service works: only
 * the commands that were sent, the outputs that came, and what the event store holds.
 */

export interface SentCommand {
  /** Its clientToken, unique in the run. */
  readonly token: string;
  readonly deviceId: string;
  readonly expected: 'accepted' | 'rejected';
}

export interface SeenOutput {
  readonly deviceId: string;
  readonly channel: 'accepted' | 'rejected' | 'delta';
  /** The document's bytes as text. */
  readonly value: string;
}

export interface SeenEvent {
  readonly deviceId: string;
  readonly version: number;
  readonly token: string | undefined;
}

/** One line for each broken promise; empty: all were kept. Outputs and events in the order in which they stand. */
export function brokenPromises(
  commands: readonly SentCommand[],
  outputs: readonly SeenOutput[],
  events: readonly SeenEvent[],
): string[] {
  const broken: string[] = [];
  const versions = checkStore(commands, events, broken);
  checkAnswers(commands, outputs, versions, broken);
  checkOrder(outputs, broken);
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
  for (const { token, expected } of commands) {
    if (expected === 'accepted' && !versions.has(token)) broken.push(`store: ${token} is not recorded`);
    if (expected === 'rejected' && versions.has(token))
      broken.push(`store: ${token} is recorded, and was to be refused`);
  }
  return versions;
}

function checkAnswers(
  commands: readonly SentCommand[],
  outputs: readonly SeenOutput[],
  versions: ReadonlyMap<string, number>,
  broken: string[],
): void {
  const answers = new Map<string, string>();
  const answered = { accepted: new Set<string>(), rejected: new Set<string>() };
  for (const { channel, value } of outputs) {
    const { clientToken, version } = JSON.parse(value) as { clientToken?: string; version?: number };
    if (clientToken === undefined) continue;
    const key = `${channel} ${clientToken}`;
    const before = answers.get(key);
    if (before !== undefined && before !== value) broken.push(`outputs: ${key} came again as another text`);
    answers.set(key, value);
    if (channel === 'delta') continue;
    answered[channel].add(clientToken);
    if (channel === 'accepted' && versions.get(clientToken) !== version) {
      broken.push(`outputs: ${key} says version ${version}, the store ${versions.get(clientToken)}`);
    }
  }
  for (const { token, expected } of commands) {
    const other = expected === 'accepted' ? 'rejected' : 'accepted';
    if (!answered[expected].has(token)) broken.push(`outputs: ${token} was not ${expected}`);
    if (answered[other].has(token)) broken.push(`outputs: ${token} was ${other}`);
  }
}

/** After a crash a device's outputs may come again from an earlier version on; they never skip one. */
function checkOrder(outputs: readonly SeenOutput[], broken: string[]): void {
  const highest = new Map<string, number>();
  for (const { deviceId, channel, value } of outputs) {
    if (channel !== 'accepted') continue;
    const { version } = JSON.parse(value) as { version: number };
    const before = highest.get(deviceId) ?? 0;
    if (version > before + 1) broken.push(`outputs: ${deviceId} goes from version ${before} to ${version}`);
    highest.set(deviceId, Math.max(before, version));
  }
}
