import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type Caller, mayUpdate } from '../../../src/application/access/rules.js';
import { maySendUpdate } from '../../../src/application/access/sent-update.js';
import { readUpdate } from '../../../src/application/read-command.js';
import { DEFAULT_LIMITS } from '../../../src/replica/limits.js';

const CALLERS: readonly Caller[] = [
  { id: 'lamp-1', role: 'device', devices: ['lamp-1'] },
  { id: 'pump-1', role: 'device', devices: ['pump-1'] },
  { id: 'panel', role: 'component', devices: ['lamp-*'] },
  { id: 'ana', role: 'analyst', devices: [] },
];

/** A name as JSON may write it: each character plainly, or by an escape in either case. */
const written = (name: string): fc.Arbitrary<string> =>
  fc
    .array(fc.nat(5), { minLength: name.length, maxLength: name.length })
    .map((ways) => `"${[...name].map((letter, at) => spelt(letter, ways[at])).join('')}"`);

function spelt(letter: string, way: number | undefined): string {
  const code = letter.charCodeAt(0).toString(16).padStart(4, '0');
  if (way === 0) return `\\u${code}`;
  return way === 1 ? `\\u${code.toUpperCase()}` : letter;
}

const space = fc.oneof(
  { weight: 30, arbitrary: fc.constantFrom('', '', ' ', '\n', '\t\r') },
  // None of these may stand between the parts of JSON.
  { weight: 1, arbitrary: fc.constantFrom('\f', '\u00a0', '\ufeff') },
);
const rarely = (
  weight: number,
  often: fc.Arbitrary<string>,
  seldom: fc.Arbitrary<string>,
): fc.Arbitrary<string> => fc.oneof({ weight, arbitrary: often }, { weight: 1, arbitrary: seldom });
const scalar = fc.constantFrom(
  'null',
  '1',
  'true',
  '{}',
  '[]',
  '[null]',
  '"x"',
  '"{\\"desired\\":{}}"',
  '1e400',
);

type Member = readonly [name: string, value: fc.Arbitrary<string>];

/** Some of the members, in this order; rarely one of them twice, or one that must not be there. */
function object(members: readonly Member[], strange: readonly Member[]): fc.Arbitrary<string> {
  const text = ([name, value]: Member): fc.Arbitrary<string> =>
    fc.tuple(written(name), space, space, value).map(([key, a, b, rest]) => `${key}${a}:${b}${rest}`);
  const some = fc.subarray([...members]).chain((chosen) => fc.tuple(...chosen.map(text)));
  const more = fc.constantFrom(...members, ...strange).chain(text);
  return fc
    .tuple(
      some,
      fc.oneof({ weight: 6, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.tuple(more) }),
    )
    .map(([first, last]) => `{${[...first, ...last].join()}}`);
}

const section = rarely(
  6,
  fc.constantFrom('null', '{}', '{"a":1}', '{"desired":{"b":2}}', '{"state":{"desired":null}}'),
  scalar,
);
const state = rarely(
  8,
  object(
    [
      ['reported', section],
      ['desired', section],
    ],
    [
      ['Desired', section],
      ['__proto__', section],
    ],
  ),
  scalar,
);
const update = rarely(
  12,
  object(
    [
      ['clientToken', fc.constantFrom('"t"', '"desired"')],
      ['state', state],
      ['version', fc.constantFrom('1', '0')],
    ],
    [
      ['desired', section],
      ['State', state],
      ['__proto__', state],
    ],
  ),
  state,
);

const plain = fc
  .tuple(space, update, space)
  .map(([before, text, after]) => Buffer.from(before + text + after));
/** Bytes that are no UTF-8, text behind the end, and what was cut off. */
const damaged = fc
  .tuple(
    plain,
    fc.nat(),
    fc.constantFrom<readonly number[]>([], [0xc3, 0x28], [0xff], [0x7d], [0x2c], [0x00]),
    fc.nat(3),
  )
  .map(([bytes, place, inserted, cut]) => {
    const at = place % (bytes.length + 1);
    return Buffer.concat([bytes.subarray(0, at), Buffer.from(inserted), bytes.subarray(at + cut)]);
  });

describe('An update that a caller sends', () => {
  it('is judged by what the command’s reader finds in it, however it is written', () => {
    let read = 0;
    fc.assert(
      fc.property(fc.oneof({ weight: 3, arbitrary: plain }, { weight: 1, arbitrary: damaged }), (bytes) => {
        const reading = readUpdate(bytes, DEFAULT_LIMITS);
        // What is no update does nothing, whoever sends it.
        if (!reading.ok) return;
        read++;
        for (const caller of CALLERS) {
          const may = mayUpdate(caller, 'lamp-1', reading.request.state);
          expect([caller.id, maySendUpdate(caller, 'lamp-1', bytes)]).toEqual([caller.id, may]);
        }
      }),
      { numRuns: 20_000 },
    );
    // It would prove nothing if all were refused.
    expect(read).toBeGreaterThan(1000);
  });
});
