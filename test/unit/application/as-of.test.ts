import { describe, expect, it } from '@jest/globals';
import { MemoryEventStore } from '../../../src/adapters/event-store/memory/memory-event-store.js';
import { asOfDocument, readAsOf } from '../../../src/application/as-of.js';
import { Replicas } from '../../../src/application/replicas.js';
import { TimeTravel } from '../../../src/application/time-travel.js';
import { recordSteps } from '../../support/recorded-history.js';
import { RecordingObserver } from '../../support/replica-process.js';
import { remove, update } from '../support/scenario.js';

describe('The request of an as-of', () => {
  const read = (body: unknown) =>
    readAsOf(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)));

  it('is devices, each once, and a time', () => {
    const value = { deviceIds: ['b', 'a'], at: 1000 };
    for (const at of [1000, '1000', '1970-01-01T00:00:01Z']) {
      expect(read({ deviceIds: ['b', 'a', 'b'], at })).toEqual({ ok: true, value });
    }
  });

  it.each([
    ['', 'Invalid JSON'],
    ['[]', 'Invalid JSON'],
    [{ at: 1 }, 'Invalid deviceIds: an array of 1 to 100'],
    [{ deviceIds: 'a', at: 1 }, 'Invalid deviceIds: an array of 1 to 100'],
    [{ deviceIds: [], at: 1 }, 'Invalid deviceIds: an array of 1 to 100'],
    [{ deviceIds: Array(101).fill('a'), at: 1 }, 'Invalid deviceIds: an array of 1 to 100'],
    [{ deviceIds: ['a', '..'], at: 1 }, 'Illegal deviceId at 1 of deviceIds: 1 to 128 of [A-Za-z0-9:._-]'],
    [{ deviceIds: [1], at: 1 }, 'Illegal deviceId at 0 of deviceIds: 1 to 128 of [A-Za-z0-9:._-]'],
    [{ deviceIds: ['a'] }, 'Missing at: a time'],
    [{ deviceIds: ['a'], at: null }, expect.stringMatching(/^Invalid at: a time in ISO 8601/)],
    [{ deviceIds: ['a'], at: 1.5 }, expect.stringMatching(/^Invalid at: a time in ISO 8601/)],
    [{ deviceIds: ['a'], at: 'yesterday' }, expect.stringMatching(/^Invalid at: a time in ISO 8601/)],
    ['{"deviceIds":["a"],"at":1,"at":2}', "Duplicate key: 'at'"],
  ])('is refused with 400: %j', (body, message) => {
    expect(read(body)).toEqual({ ok: false, refusal: { code: 400, message } });
  });
});

it('Many devices at a time are what each is by itself, for one place of those who wait', async () => {
  const store = new MemoryEventStore();
  const travel = new TimeTravel(store, new Replicas(store, new RecordingObserver(), 0));
  const deviceIds = Array.from({ length: 100 }, (_, n) => String(99 - n));
  for (const [n, id] of deviceIds.entries()) {
    if (n % 7 === 3) continue;
    await recordSteps(store, id, [
      update({ reported: { n } }, { at: 100 + n }),
      n % 5 === 1 ? remove({ at: 140 }) : update({ desired: { n } }, { at: 160 }),
    ]);
  }
  const at = 150;
  const alone = await Promise.all(deviceIds.map((id) => travel.state(id, { kind: 'time', time: at })));
  const expected = alone.map((one) => (one.ok ? one.value.document : null));
  expect(new Set(expected).size).toBeGreaterThan(30);
  // More than so many questions at once are refused, were each device one.
  const answers = await Promise.all(Array.from({ length: 200 }, () => travel.asOf({ deviceIds, at })));
  for (const answer of answers) {
    if (!answer.ok) throw new Error(answer.refusal.message);
    expect([...answer.value.devices.keys()]).toEqual(deviceIds);
    expect([...answer.value.devices.values()]).toEqual(expected);
    expect(asOfDocument(answer.value)).toMatch(/^\{"at":150,"devices":\{"99":\{"state":/);
  }
});
