import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { readUpdate } from '../../src/application/read-command.js';
import { type SectionTexts } from '../../src/replica/commands.js';
import { DEFAULT_LIMITS } from '../../src/replica/limits.js';

const LIMITS = { ...DEFAULT_LIMITS, maxDepth: 20 };

function textsOf(text: string): SectionTexts {
  const texts: SectionTexts = {};
  readUpdate(Buffer.from(text), LIMITS, texts);
  return texts;
}

/** What is known of the sections' texts is what JSON.stringify makes of them. */
function expectRight(text: string): void {
  const texts = textsOf(text);
  const { state } = JSON.parse(text) as { state: Record<string, unknown> };
  for (const name of ['reported', 'desired'] as const) {
    if (texts[name] !== undefined) expect(texts[name]).toBe(JSON.stringify(state[name]));
  }
}

const digits = fc.string({ unit: fc.constantFrom(...'0001234567899'), minLength: 1, maxLength: 18 });
/** Numbers in every form that JSON allows. */
const number = fc
  .tuple(
    fc.constantFrom('', '-'),
    fc.oneof(
      fc.constant('0'),
      digits.map((text) => text.replace(/^0+(?=.)/, '')),
    ),
    fc.oneof(
      fc.constant(''),
      digits.map((text) => `.${text}`),
    ),
    fc.constantFrom('', '', '', 'e0', 'E5', 'e-7', 'e+21'),
  )
  .map((parts) => parts.join(''));
const name = fc.constantFrom(
  'a',
  'b',
  '1',
  '01',
  '',
  'é',
  '\\u0061',
  'state',
  'reported',
  'desired',
  'x:y',
  '"{'.slice(1),
);
const { value } = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    number,
    fc.constantFrom(
      'true',
      'false',
      '"x"',
      '"1.0"',
      '"a b"',
      '"{\\"reported\\":{}}"',
      '"é"',
      '{}',
      '[]',
      '{ }',
    ),
    fc.array(tie('value'), { maxLength: 3 }).map((items) => `[${items.join(',')}]`),
    object(tie('value')),
  ),
}));

function object(inner: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc
    .uniqueArray(fc.tuple(name, inner), { maxLength: 3, selector: ([key]) => key })
    .map((members) => `{${members.map(([key, text]) => `"${key}":${text}`).join(',')}}`);
}

describe("A section's text", () => {
  it('is that of JSON.stringify wherever it is taken from the request, however that is written', () => {
    const section = fc.oneof(object(value), fc.constant('null'));
    const sections = fc.record({ reported: section, desired: section }, { requiredKeys: [] });
    const around = fc.constantFrom(
      '',
      '"clientToken":"t",',
      '"other":{"reported":{"a":1}},',
      '"version":1, ',
    );
    fc.assert(
      fc.property(sections, around, fc.boolean(), (state, before, turned) => {
        const names = (['reported', 'desired'] as const).filter((each) => state[each] !== undefined);
        if (turned) names.reverse();
        const members = names.map((each) => `"${each}":${state[each] ?? ''}`);
        expectRight(`{${before}"state":{${members.join(',')}}}`);
      }),
      { numRuns: 5_000 },
    );
  });

  it('is that of JSON.stringify for every number', () => {
    fc.assert(
      fc.property(number, (text) => expectRight(`{"state":{"reported":{"n":${text}}}}`)),
      { numRuns: 20_000 },
    );
  });

  it.each(['1.0', '-0', '1e5', '0.0000001', '1.50', '0.10', '123456789012345678', '0.1234567890123456'])(
    'is not taken where %s would be written otherwise, or may be',
    (text) => {
      expect(textsOf(`{"state":{"reported":{"n":${text}}}}`)).toStrictEqual({});
    },
  );

  it.each([' {"n":1}', '{"n": 1}', '{"n":1,"0":2}', '{"\\u006e":1}', '{"n":"é"}', 'null'])(
    'is not taken of %s',
    (text) => {
      expect(textsOf(`{"state":{"reported":${text}}}`)).toStrictEqual({});
    },
  );

  it('is taken from a request as programs write it', () => {
    const reported = {
      seq: 10_000_001,
      network: { rssi: -67, ok: true },
      list: [0, 0.5, 21.25, 0.000001],
      e: {},
    };
    const desired = { power: 'on', target: 21.5, x: null };
    expect(textsOf(JSON.stringify({ state: { reported, desired }, clientToken: 't' }))).toStrictEqual({
      reported: JSON.stringify(reported),
      desired: JSON.stringify(desired),
    });
  });

  it('is not taken from a request that is refused', () => {
    expect(textsOf('{"state":{"reported":{"a":1,"a":2}}}')).toStrictEqual({});
  });
});
