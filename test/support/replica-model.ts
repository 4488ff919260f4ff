export type Section = Record<string, number | string | null>;

/** What an update asks for; null: the section is to go. */
export interface Changes {
  readonly reported?: Section | null;
  readonly desired?: Section | null;
}

export interface ModelCommand {
  readonly state: Changes;
  readonly version?: number;
}

interface Device {
  version: number;
  exists: boolean;
  reported: Section;
  desired: Section;
  readonly recorded: number[];
  readonly byId: Map<string, { text: string; answer: number }>;
}

/** The contract for flat sections and a single partition, in the plainest words. */
export class ReplicaModel {
  private readonly devices = new Map<string, Device>();
  /** What each command must be answered: the version, or the refusal's code. */
  readonly answers: number[] = [];

  constructor(private readonly skipsUnchanged: boolean) {}

  /** @param command null: malformed */
  take(deviceId: string, command: ModelCommand | null, text: string, messageId: string | undefined): void {
    this.answers.push(this.answer(this.device(deviceId), command, text, messageId));
  }

  private answer(
    device: Device,
    command: ModelCommand | null,
    text: string,
    messageId: string | undefined,
  ): number {
    const known = messageId === undefined ? undefined : device.byId.get(messageId);
    if (known !== undefined) return known.text === text ? known.answer : 409;
    if (command === null) return 400;
    if (command.version !== undefined && command.version !== device.version) return 409;
    const reported = merged(device.reported, command.state.reported);
    const desired = merged(device.desired, command.state.desired);
    if (
      this.skipsUnchanged &&
      messageId === undefined &&
      device.exists &&
      isSame(reported, device.reported) &&
      isSame(desired, device.desired)
    ) {
      return device.version;
    }
    Object.assign(device, { reported, desired, exists: true, version: device.version + 1 });
    device.recorded.push(device.version);
    if (messageId !== undefined) device.byId.set(messageId, { text, answer: device.version });
    return device.version;
  }

  versionOf(deviceId: string): number {
    return this.device(deviceId).version;
  }

  recordedVersions(deviceId: string): number[] {
    return this.device(deviceId).recorded;
  }

  /** The `state` that a get shows; null: no replica exists. */
  stateOf(deviceId: string): object | null {
    const { exists, reported, desired } = this.device(deviceId);
    if (!exists) return null;
    const parts = Object.entries({ desired, reported, delta: outstanding(desired, reported) });
    return Object.fromEntries(parts.filter(([, part]) => Object.keys(part).length > 0));
  }

  private device(deviceId: string): Device {
    const known = this.devices.get(deviceId);
    if (known !== undefined) return known;
    const made = { version: 0, exists: false, reported: {}, desired: {}, recorded: [], byId: new Map() };
    this.devices.set(deviceId, made);
    return made;
  }
}

export function merged(section: Section, patch: Section | null = {}): Section {
  if (patch === null) return {};
  const entries = Object.entries({ ...section, ...patch }).filter(([, value]) => value !== null);
  return Object.fromEntries(entries);
}

/** The wishes that are not, or not so, in what is reported. */
export function outstanding(desired: Section, reported: Section): Section {
  return Object.fromEntries(Object.entries(desired).filter(([key, value]) => reported[key] !== value));
}

export function isSame(a: Section, b: Section): boolean {
  const text = (section: Section): string => JSON.stringify(Object.entries(section).sort());
  return text(a) === text(b);
}
