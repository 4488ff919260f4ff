/** Repeatable streams of commands and events: the same seed gives the same bytes. */

/** Mulberry32: small, fast and good enough to draw devices and sizes with. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Draws 0 … count−1, the k-th with a probability in proportion to 1/(k+1). */
export function zipf(count: number, random: () => number): () => number {
  const cumulative = new Float64Array(count);
  let sum = 0;
  for (let k = 0; k < count; k++) cumulative[k] = sum += 1 / (k + 1);
  return () => {
    const wanted = random() * sum;
    let low = 0;
    let high = count - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((cumulative[middle] as number) < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

export interface Command {
  readonly key: string;
  readonly value: Buffer;
}

const WORDS =
  'idle heating cooling fan auto manual eco boost north south east west open closed ok warn'.split(' ');

/**
 * Updates of 250 to 800 bytes for `devices` devices, Zipf. Nine of ten are reports of readings, every third of them
 * with the device's settings; each changes something, and so sends accepted and delta. One of ten asks for other
 * settings, which are outstanding until a report confirms them.
 */
export function makeCommands(count: number, devices: number, seed: number): Command[] {
  const random = randomFrom(seed);
  const device = zipf(devices, random);
  const settings = new Map<number, Record<string, unknown>>();
  const commands: Command[] = [];
  for (let i = 0; i < count; i++) {
    const size = 250 + Math.floor(random() * 550);
    const id = device();
    let section = 'reported';
    let state: Record<string, unknown>;
    if (i % 10 === 9) {
      section = 'desired';
      const wanted = {
        power: pick(random),
        target: Math.floor(random() * 60) / 2,
        interval: 1 + Math.floor(random() * 60),
        schedule: pick(random)
          .repeat(300)
          .slice(0, size - 150),
      };
      settings.set(id, wanted);
      state = { settings: wanted };
    } else {
      state = { seq: seed * 1_000_000 + i, network: { rssi: -Math.floor(random() * 90), channel: 11 } };
      const confirmed = i % 3 === 0 && size > 500 ? settings.get(id) : undefined;
      if (confirmed !== undefined) state['settings'] = confirmed;
      addSensors(state, size - 100, random);
    }
    const body = { state: { [section]: state }, clientToken: `t-${i}` };
    commands.push({ key: `device-${id}`, value: Buffer.from(JSON.stringify(body)) });
  }
  return commands;
}

/** A section of so many bytes as JSON, or a few more. */
export function makeState(bytes: number, random: () => number): Record<string, unknown> {
  const state = {};
  addSensors(state, bytes, random);
  return state;
}

function addSensors(state: Record<string, unknown>, bytes: number, random: () => number): void {
  for (let n = 0; JSON.stringify(state).length < bytes; n++) {
    state[`sensor${n}`] = {
      value: Math.round(random() * 1000) / 10,
      state: pick(random),
      ...(n % 3 === 0 ? { levels: [Math.floor(random() * 10), Math.floor(random() * 10)] } : {}),
    };
  }
}

/** The content of an event as the service stores it, not written as JSON yet. */
export interface EventContent {
  readonly type: string;
  readonly data: Record<string, unknown>;
  readonly metadata: Record<string, unknown>;
}

/** Events with some 300 bytes of data, from 150 to 450, and 350 bytes of metadata. */
export function makeEvents(count: number, seed: number): EventContent[] {
  const random = randomFrom(seed);
  return Array.from({ length: count }, (_, i) => {
    const size = 150 + Math.floor(random() * 300);
    const state: Record<string, unknown> = {};
    const data = {
      deviceId: `device-${Math.floor(random() * 10_000)}`,
      version: 1 + Math.floor(random() * 100_000),
      timestamp: 1_700_000_000_000 + i,
      state,
      clientToken: `t-${i}`,
    };
    for (let n = 0; JSON.stringify(data).length < size - 25; n++) {
      state[`sensor${n}`] = { value: Math.round(random() * 1000) / 10, state: pick(random) };
    }
    const commandId = hex(random, 32).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
    const metadata = {
      schema: 1,
      $causationId: commandId,
      $correlationId: commandId,
      source: {
        topic: 'state.update',
        partition: i % 12,
        offset: 1_000_000 + i,
        timestamp: 1_700_000_000_000 + i,
        log: hex(random, 22),
      },
      fingerprint: `update:${hex(random, 22)}`,
      messageId: `message-${hex(random, 24)}`,
    };
    return { type: 'ReportedStateChanged', data, metadata };
  });
}

function hex(random: () => number, digits: number): string {
  return Array.from({ length: digits }, () => Math.floor(random() * 16).toString(16)).join('');
}

function pick(random: () => number): string {
  return WORDS[Math.floor(random() * WORDS.length)] as string;
}
