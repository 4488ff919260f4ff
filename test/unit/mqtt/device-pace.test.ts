import { beforeEach, describe, expect, it } from '@jest/globals';
import { type Client } from 'aedes';
import { DevicePace } from '../../../src/adapters/mqtt/device-pace.js';
import { Rates } from '../../../src/application/access/rates.js';
import { until } from '../../support/http.js';

const PER_SECOND = 100;

describe('the commands of a device', () => {
  /** It stands still, so that it does not matter how long anything takes. */
  let now: number;
  let pace: DevicePace;
  let sent: string[];
  let paced: [id: string, isPaced: boolean][];

  beforeEach(() => {
    now = 0;
    sent = [];
    paced = [];
    pace = new DevicePace(new Rates(PER_SECOND, () => now), { limited: () => undefined }, ({ id }, isPaced) =>
      paced.push([id, isPaced]),
    );
  });
  const clientOf = (id: string): Client => ({ id }) as Client;
  const send = (client: Client, name: string): boolean => pace.send(client, 'lamp', () => sent.push(name));

  it('of its own connection wait, of which no more is read until they need not', async () => {
    const lamp = clientOf('lamp');
    for (let n = 0; n < PER_SECOND; n++) expect(send(lamp, `${n}`)).toBe(true);
    expect([sent.length, pace.isBusy('lamp')]).toEqual([PER_SECOND, false]);
    expect(paced.filter(([, isPaced]) => isPaced)).toEqual([]);
    expect([send(lamp, 'late'), send(lamp, 'later')]).toEqual([true, true]);
    expect(paced.slice(-2)).toEqual(Array(2).fill(['lamp', true]));
    expect([sent.length, pace.isBusy('lamp')]).toEqual([PER_SECOND, true]);
    // Anybody else's, and nobody else's connection.
    expect(send(clientOf('panel'), 'other')).toBe(false);
    expect(paced.slice(-1)).toEqual([['lamp', true]]);
    await until('all are sent', () => !pace.isBusy('lamp'));
    now += 1000;
    expect(sent.slice(PER_SECOND)).toEqual(['late', 'later']);
    expect([send(lamp, 'again'), pace.isBusy('lamp')]).toEqual([true, false]);
    expect(paced.slice(-1)).toEqual([['lamp', false]]);
  });

  it('keep their order, and are no more than so many, whatever connections they came by', async () => {
    const answers = Array.from({ length: 200 }, (_, n) => send(clientOf('lamp'), `${n}`));
    const taken = PER_SECOND + 100;
    expect(answers).toEqual(answers.map((_, n) => n < taken));
    await until('all are sent', () => !pace.isBusy('lamp'));
    expect(sent).toEqual(Array.from({ length: taken }, (_, n) => `${n}`));
    // What was refused has taken nothing of the rate.
    now += 1010;
    expect([send(clientOf('lamp'), 'next'), sent.at(-1)]).toEqual([true, 'next']);
  });
});
