/**
 * Six days of a small fleet, told as the requests that came in: 24 heat pumps and 12 door sensors, a firmware roll-out,
 * a mistaken change in a night and the incident after it, a sensor that flaps, devices that fall silent. The same every
 * time.
 */
export interface Request {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly deviceId: string;
  readonly kind: 'update' | 'delete';
  readonly body: object;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const START = Date.UTC(2026, 4, 1);
const DAYS = 6;
const PUMPS = numbered('pump', 24);
const SENSORS = numbered('sensor', 12);

const ROLLOUT = START + DAY + 10 * HOUR;
const MISTAKE = START + 2 * DAY + 22 * HOUR + 40 * MINUTE;
const INCIDENT = START + 3 * DAY + 3 * HOUR + 10 * MINUTE;
const REPAIR = START + 3 * DAY + 7 * HOUR + 15 * MINUTE;
const CHILLED = ['pump-11', 'pump-12', 'pump-13', 'pump-14'];
/** From when on nothing is heard of them. */
const SILENT: Readonly<Record<string, number>> = {
  'pump-22': START + 2 * DAY + 12 * HOUR,
  'sensor-09': START + DAY + 6 * HOUR,
};

/** All requests, in the order in which they came. */
export function fleetStory(): Request[] {
  const requests = [...reports(), ...rollout(), ...incident(), ...flapping(), ...retirement()];
  const heard = requests.filter(
    ({ at, deviceId, body }) => isDesired(body) || at < (SILENT[deviceId] ?? Infinity),
  );
  // Stable: what came at the same time stays in the order above.
  return heard.sort((one, other) => one.at - other.at);
}

function isDesired(body: object): boolean {
  return 'state' in body && 'desired' in (body.state as object);
}

function* reports(): Generator<Request> {
  const random = randomFrom(20260501);
  for (const deviceId of PUMPS) {
    const state = { firmware: '2.0', mode: 'auto', target: 21, temperature: 20.5, alarm: 'none' };
    yield report(START + Math.floor(random() * 20 * MINUTE), deviceId, state);
    for (let at = START + HOUR; at < START + DAYS * DAY; at += 2 * HOUR) {
      const isCold = CHILLED.includes(deviceId) && at > MISTAKE && at < REPAIR;
      const temperature = Math.round((isCold ? 120 : 200) + 20 * random()) / 10;
      yield report(at + Math.floor(random() * HOUR), deviceId, { temperature });
    }
  }
  for (const deviceId of SENSORS) {
    yield report(START + Math.floor(random() * 20 * MINUTE), deviceId, { door: 'closed', battery: 100 });
    for (let day = 0; day < DAYS; day++) {
      const morning = START + day * DAY + 6 * HOUR + Math.floor(random() * 2 * HOUR);
      yield report(morning, deviceId, { door: 'open', battery: 99 - 2 * day });
      yield report(morning + 9 * HOUR + Math.floor(random() * HOUR), deviceId, { door: 'closed' });
    }
  }
}

/** Three waves of eight pumps. Most take the firmware within the hour. */
function* rollout(): Generator<Request> {
  const random = randomFrom(21);
  const slow: Readonly<Record<string, number>> = {
    'pump-07': 26 * HOUR,
    'pump-13': 5 * HOUR,
    'pump-20': 3 * HOUR,
  };
  for (const [index, deviceId] of PUMPS.entries()) {
    const asked = ROLLOUT + Math.floor(index / 8) * HOUR;
    yield desire(asked, deviceId, { firmware: '2.1' }, 'rollout-2.1');
    const taken = slow[deviceId] ?? Math.floor((5 + 40 * random()) * MINUTE);
    // It hangs, and nobody notices.
    if (deviceId === 'pump-19') continue;
    yield report(asked + taken, deviceId, { firmware: '2.1' });
  }
}

function* incident(): Generator<Request> {
  for (const [index, deviceId] of CHILLED.entries()) {
    yield desire(MISTAKE + index * 1000, deviceId, { target: 12, mode: 'eco' }, 'night-shift-script');
    yield report(MISTAKE + index * 1000 + 30_000, deviceId, { target: 12, mode: 'eco' });
    yield report(INCIDENT + index * 4 * MINUTE, deviceId, { alarm: 'frost' });
    yield desire(REPAIR + index * 1000, deviceId, { target: 21, mode: 'auto' }, 'anna');
    yield report(REPAIR + index * 1000 + 20_000, deviceId, { target: 21, mode: 'auto', alarm: 'none' });
  }
  yield desire(START + 2 * DAY + 21 * HOUR + 5 * MINUTE, 'pump-03', { target: 20 }, 'tenant-app');
  yield report(START + 2 * DAY + 21 * HOUR + 6 * MINUTE, 'pump-03', { target: 20 });
}

function* flapping(): Generator<Request> {
  for (let n = 0; n < 68; n++) {
    const at = START + 4 * DAY + 20 * HOUR + n * 7 * MINUTE;
    yield report(at, 'sensor-05', { door: n % 2 === 0 ? 'open' : 'closed' });
  }
}

function* retirement(): Generator<Request> {
  const at = START + 5 * DAY + 9 * HOUR;
  yield { at, deviceId: 'sensor-12', kind: 'delete', body: { clientToken: 'anna' } };
}

function report(at: number, deviceId: string, reported: object): Request {
  return { at, deviceId, kind: 'update', body: { state: { reported } } };
}

function desire(at: number, deviceId: string, desired: object, clientToken: string): Request {
  return { at, deviceId, kind: 'update', body: { state: { desired }, clientToken } };
}

function numbered(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${name}-${String(index + 1).padStart(2, '0')}`);
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
