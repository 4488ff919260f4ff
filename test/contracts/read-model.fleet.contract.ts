import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type FleetFilter } from '../../src/application/fleet-filter.js';
import {
  type DeviceRow,
  type FleetQuery,
  type ListedRow,
  type ReadModel,
} from '../../src/application/ports/read-model.js';
import { anyFilter, fleetOf, fleetQuery } from '../support/fleet-arbitraries.js';
import { inOrder, type OracleDevice, placeOf, selected } from '../support/fleet-oracle.js';

export interface FleetSubject {
  readonly model: () => ReadModel;
  /** Makes a generation of these rows, with its checkpoint at 10, the active one. */
  readonly fill: (rows: readonly (DeviceRow & Partial<ListedRow>)[]) => Promise<void>;
  readonly row: (deviceId: string, rest?: Partial<DeviceRow>) => DeviceRow;
}

export function fleetContract({ model, fill, row }: FleetSubject): void {
  const ids = async (query: Partial<FleetQuery>): Promise<string[]> =>
    (await model().list({ limit: 100, ...query })).rows.map(({ deviceId }) => deviceId);

  describe('fleet queries', () => {
    it('give what a plain fold gives: any states, filters, orders and pages', async () => {
      await fc.assert(
        fc.asyncProperty(
          fleetOf(0, 16),
          fc.array(fleetQuery, { maxLength: 12 }),
          async (devices, queries) => {
            await fill(devices.map((device) => device.row));
            for (const query of queries) {
              const expected = selected(devices, query);
              const withText = query.withText === true;
              const pages = await allPages(query, expected.length);
              expect(pages.map((each) => listed(each, withText))).toEqual(
                expected.map((each) => listed(each, withText)),
              );
              const of = (status: string): number => expected.filter((each) => each.status === status).length;
              expect(await model().count(query)).toEqual({
                inSync: of('in-sync'),
                notInSync: of('not-in-sync'),
                broken: of('broken'),
                position: 10n,
              });
            }
          },
        ),
        { numRuns: 100, endOnFailure: true },
      );
    });

    it('give what a plain fold gives: many filters over one fleet', async () => {
      const [devices = []] = fc.sample(fleetOf(25, 30), { numRuns: 1, seed: 4 });
      await fill(devices.map((device) => device.row));
      await fc.assert(
        fc.asyncProperty(anyFilter, async (filter) => {
          expect(await ids({ filter })).toEqual(selected(devices, { filter }).map((each) => each.deviceId));
        }),
        { numRuns: 1000, endOnFailure: true },
      );
    });

    it('go on after a place where no device is any more', async () => {
      await fc.assert(
        fc.asyncProperty(
          fleetOf(0, 16),
          fleetQuery,
          fc.nat(),
          async (devices, { limit, ...query }, index) => {
            const places = devices.map((device) => placeOf(device.row, query));
            const after = places[index % Math.max(1, places.length)];
            fc.pre(after !== undefined);
            const rest = devices.filter((device) => device.row.deviceId !== after.deviceId);
            await fill(rest.map((device) => device.row));
            const expected = selected(rest, query)
              .filter((each) => inOrder(placeOf(each, query), after, query) > 0)
              .slice(0, limit);
            expect(await ids({ ...query, after, limit })).toEqual(expected.map((each) => each.deviceId));
          },
        ),
        { numRuns: 100, endOnFailure: true },
      );
    });

    it('take % and _ in a prefix for what they are', async () => {
      await fill(['a%b', 'a_b', 'axb', 'a', 'b', 'A%b'].map((deviceId) => row(deviceId)));
      expect(await ids({ prefix: 'a%' })).toEqual(['a%b']);
      expect(await ids({ prefix: 'a_' })).toEqual(['a_b']);
      expect(await ids({ prefix: 'a' })).toEqual(['a', 'a%b', 'a_b', 'axb']);
      expect(await ids({ prefix: 'ab' })).toEqual([]);
    });

    it('compare numbers by value and strings by their bytes, and take neither for the other', async () => {
      const state = (value: string | number | boolean): Partial<DeviceRow> => ({
        text: textOf({ reported: { a: value } }),
      });
      const values = [
        2,
        10,
        '10',
        '2',
        'a\u0000b',
        'a',
        'a\u0001',
        '\u{1f600}',
        '\ufffd',
        true,
        'true',
      ] as const;
      await fill(values.map((value, index) => row(`d${String(index).padStart(2, '0')}`, state(value))));
      const matching = async (
        op: '==' | '<' | '>=',
        value: string | number | boolean,
      ): Promise<unknown[]> => {
        const operand = { kind: 'state', path: { section: 'reported', keys: ['a'] } } as const;
        const filter: FleetFilter = { kind: 'compare', operand, op, value };
        return (await ids({ filter })).map((id) => values[Number(id.slice(1))]);
      };
      expect(await matching('<', 10)).toEqual([2]);
      expect(await matching('<', '2')).toEqual(['10']);
      expect(await matching('==', 2)).toEqual([2]);
      expect(await matching('==', true)).toEqual([true]);
      expect(await matching('==', 'a')).toEqual(['a']);
      expect(await matching('==', 'a\u0000b')).toEqual(['a\u0000b']);
      expect(await matching('>=', 'a\u0000b')).toEqual([
        'a\u0000b',
        'a\u0001',
        '\u{1f600}',
        '\ufffd',
        'true',
      ]);
      expect(await matching('>=', '\u{1f600}')).toEqual(['\u{1f600}']);
    });
  });

  async function allPages(query: FleetQuery, atMost: number): Promise<ListedRow[]> {
    const all: ListedRow[] = [];
    for (;;) {
      const last = all.at(-1);
      const after = last === undefined ? {} : { after: placeOf(last, query) };
      const { rows, position } = await model().list({ ...query, ...after });
      expect(position).toBe(10n);
      expect(rows.length).toBeLessThanOrEqual(query.limit);
      all.push(...rows);
      if (rows.length < query.limit || all.length > atMost) return all;
    }
  }
}

/** What the port says of a row; an adapter may give more. */
function listed(of: ListedRow, withText: boolean): unknown {
  const { deviceId, version, status, lastReported, lastDesired, since, outstanding, broken, text } = of;
  const { connectedSince, disconnectedSince } = of;
  const index = { deviceId, version, status, lastReported, lastDesired, since, outstanding, broken };
  const shown = { ...index, connectedSince, disconnectedSince };
  return withText ? { ...shown, text } : shown;
}

function textOf(sections: { readonly reported: OracleDevice['reported'] }): string {
  return JSON.stringify({ desired: {}, delta: {}, ...sections });
}
