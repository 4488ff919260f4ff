import { everywhere, PLACES, poison, type PoisonCase, refused } from './case.js';

/** What is JSON, and still not taken; each with its neighbours that are. */

const INEXACT = refused(400, 'A number cannot be held exactly');
const NO_NULL = refused(400, 'An array cannot hold null');
const NUL = refused(400, 'A string or key holds a NUL character');
const LONE = refused(400, 'A string or key holds a lone surrogate');

// prettier-ignore
const EXACT_NUMBERS = [
  '9007199254740990', '9007199254740991.0', '90071992547409910e-1', '-9007199254740991', '4503599627370496.5', '1e15',
  '5e-324', '2.2250738585072011e-308', '1.7976931348623157e-308', '0.30000000000000004', '3.141592653589793238462643',
  '100000000000000000000e-10', '0.000000000000000000000000000001', '0e999999', '0.0e-999999', '-0e5', '00e0'.slice(1),
  `0.${'0'.repeat(300)}1`, `1${'0'.repeat(15)}`, `${'1'.repeat(15)}.${'9'.repeat(5000)}`, `0.${'0'.repeat(5000)}`,
  `0.${'3'.repeat(60_000)}`,
];
// prettier-ignore
const INEXACT_NUMBERS = [
  '9007199254740992', '9007199254740993', '-9007199254740992', '9007199254740992.5', '1e16', '123456789012345678901234567890',
  '18446744073709551615', '18446744073709551616', '1e22', '1e23', '1e308', '1.7976931348623157e308', '1.7976931348623159e308',
  '1e309', '-1e309', '1e400', '1e9999', '-1e99999999999', '1E+999999999999999999999', '2e308', '0.1e400', '1e-400',
  '-1e-400', '4e-325', '0.1e-330', '1e-9999', '1e-99999999999999999', `0.${'0'.repeat(330)}1`, '1'.repeat(400),
  '9'.repeat(50_000), `1${'0'.repeat(310)}`, `${'1'.repeat(310)}e-1`,
];

const UNITS = { high: '\\ud83d', High: '\\uDBFF', low: '\\ude00', Low: '\\uDC00' };
const LONE_SURROGATES = [
  ...Object.values(UNITS),
  ...Object.values(UNITS).flatMap((unit) => [
    `x${unit}`,
    `${unit}x`,
    `${unit}\\\\`,
    `${unit}\\n`,
    `é${unit}é`,
  ]),
  `${UNITS.low}${UNITS.high}`,
  `${UNITS.high}${UNITS.high}${UNITS.low}`,
  `${UNITS.high}${UNITS.low}${UNITS.low}`,
  `${UNITS.high} ${UNITS.low}`,
  `${UNITS.high}\\u0041`,
  `${UNITS.high}\\u0000`.replace('\\u0000', '\\u0001'),
];
const NULS = ['\\u0000', 'a\\u0000', '\\u0000a', 'a\\u0000b', '\\\\\\u0000', '\\u0000\\u0000'];

const FORBIDDEN = ['__proto__', 'constructor', 'prototype'];
/** A key as it is, and in the escapes that mean the same. */
function spellings(key: string): string[] {
  const escape = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
  const all = [...key].map(escape).join('');
  return [
    key,
    all,
    all.toUpperCase().replaceAll('\\U', '\\u'),
    escape(key.charAt(0)) + key.slice(1),
    key.slice(0, -1) + escape(key.slice(-1)),
    key.slice(0, 3) + escape(key.charAt(3)) + key.slice(4),
  ];
}
const POLLUTIONS = ['1', 'null', '{"polluted":1}', '{"__proto__":{"polluted":1}}', '[]', '{"toString":null}'];

function pollution(): PoisonCase[] {
  return FORBIDDEN.flatMap((key) =>
    spellings(key).flatMap((spelling, which) => {
      const not = refused(400, `Key is not allowed: '${key}'`);
      const member = (value: string): string => `{"${spelling}":${value}}`;
      return [
        ...POLLUTIONS.flatMap((value) => everywhere(`the key ${key} (${which})`, [member(value)], not)),
        poison(`the key ${key} (${which}) at the root`, `{"state":{},"${spelling}":{"a":1}}`, not),
        poison(
          `the key ${key} (${which}) in place of a section`,
          `{"state":{"${spelling}":{"a":1}}}`,
          refused(400, `State contains an invalid node: '${key}'`),
        ),
        poison(`the section ${key} (${which})`, `{"state":{"reported":{"${spelling}":{"a":1}}}}`, not),
        poison(`the text ${key} (${which})`, `{"state":{"reported":{"a":"${spelling}"}}}`, 'accepted'),
      ];
    }),
  );
}

/** Not the forbidden ones, but close; and names that every object inherits. */
// prettier-ignore
const HARMLESS_KEYS = [
  '__proto', '_proto_', '__PROTO__', 'proto', '__proto__ ', ' __proto__', '__proto__.a', 'constructor.prototype', 'Constructor',
  'constructors', 'prototypes', '__defineGetter__', '__defineSetter__', '__lookupGetter__', 'hasOwnProperty', 'isPrototypeOf',
  'propertyIsEnumerable', 'toString', 'toLocaleString', 'valueOf', 'toJSON', 'then', 'length', 'name', 'caller', 'arguments',
  '$ref', '$where', '$set', '@type', '#', '~', '/', '.', '..', '*', '+', '%', '', ' ', '0', '-1', '1e3', '4294967295',
  'reported', 'desired', 'state', 'version', 'delta', 'metadata', 'timestamp', 'null', 'undefined', 'NaN',
];

function duplicates(): PoisonCase[] {
  const cases: PoisonCase[] = [];
  const twins: readonly (readonly [string, string])[] = [
    ['k', 'k'],
    ['', ''],
    ['k', '\\u006b'],
    ['\\u006b', '\\u006B'],
    ['é', '\\u00e9'],
    ['\\"', '\\u0022'],
    ['/', '\\/'],
    ['a b', 'a\\u0020b'],
    ['0', '\\u0030'],
    ['toString', 'toString'],
  ];
  for (const [one, other] of twins) {
    const key = JSON.parse(`"${one}"`) as string;
    for (const between of [0, 1, 50, 2000]) {
      const others = Array.from({ length: between }, (_, index) => `"o${index}":${index},`).join('');
      const text = `{"${one}":1,${others}"${other}":2}`;
      for (const place of ['in reported', 'below other objects', 'in an array', 'in what is ignored']) {
        cases.push(
          poison(
            `the key "${one}" and as "${other}", ${between} between, ${place}`,
            PLACES[place]?.(text) ?? '',
            refused(400, `Duplicate key: '${key}'`),
          ),
        );
      }
    }
  }
  for (const [name, text, key] of [
    ['state', '{"state":{},"state":{}}', 'state'],
    ['state, first null', '{"state":null,"state":{"reported":{"a":1}}}', 'state'],
    ['version', '{"state":{},"version":0,"version":0}', 'version'],
    ['a token', '{"clientToken":"a","state":{},"clientToken":"b"}', 'clientToken'],
    ['reported', '{"state":{"reported":{"a":1},"reported":{"b":2}}}', 'reported'],
    ['desired, in escapes', '{"state":{"desired":{},"\\u0064esired":null}}', 'desired'],
  ] as const) {
    cases.push(poison(`${name} twice`, text, refused(400, `Duplicate key: '${key}'`)));
  }
  return cases;
}

function envelopes(): PoisonCase[] {
  const of = (name: string, values: readonly string[], message: string): PoisonCase[] =>
    values.map((value) =>
      poison(`${name} ${value.slice(0, 60)}`, `{"state":{},"${name}":${value}}`, refused(400, message)),
    );
  const notObjects = ['1', '0', '-1.5', '""', '"x"', '"{}"', 'true', 'false', '[]', '[{}]', '[1]'];
  return [
    ...of(
      'version',
      [
        'null',
        '""',
        '"1"',
        '"0"',
        'true',
        '[]',
        '[1]',
        '{}',
        '-1',
        '0.5',
        '1.5',
        '-0.1',
        '1e-1',
        '9007199254740992',
        '1e400',
        '-1e400',
        '1e16',
      ],
      'Invalid version',
    ),
    ...of(
      'clientToken',
      [
        'null',
        '1',
        'true',
        '[]',
        '["a"]',
        '{}',
        `"${'x'.repeat(65)}"`,
        `"${'é'.repeat(33)}"`,
        `"${'😀'.repeat(17)}"`,
        `"${'\\u20ac'.repeat(22)}"`,
      ],
      'Invalid clientToken',
    ),
    ...notObjects.map((value) =>
      poison(`state ${value}`, `{"state":${value}}`, refused(400, 'State node must be an object')),
    ),
    ...(['Reported', 'Desired'] as const).flatMap((section) =>
      notObjects.map((value) =>
        poison(
          `${section} ${value}`,
          `{"state":{"${section.toLowerCase()}":${value}}}`,
          refused(400, `${section} node must be an object`),
        ),
      ),
    ),
    ...[
      '{}',
      '{"State":{}}',
      '{"STATE":{}}',
      '{"states":{}}',
      '{" state":{}}',
      '{"version":0}',
      '{"reported":{"a":1}}',
      '{"desired":{}}',
      '{"":{}}',
    ].map((text) => poison(`without state: ${text}`, text, refused(400, 'Missing required node: state'))),
    ...['delta', 'metadata', 'Reported', 'reported ', '', '0', 'toString', 'r\\u0065port'].map((key) =>
      poison(
        `the section ${key}`,
        `{"state":{"${key}":{}}}`,
        refused(400, `State contains an invalid node: '${JSON.parse(`"${key}"`) as string}'`),
      ),
    ),
    ...[`"${'x'.repeat(64)}"`, `"${'é'.repeat(32)}"`, '""', '"\\u0041"', `"${'\\u0041'.repeat(64)}"`].map(
      (token) => poison(`the token ${token.slice(0, 20)}`, `{"state":{},"clientToken":${token}}`, 'accepted'),
    ),
    ...['"\\ud800"', '"a\\udc00"'].map((token) =>
      poison(`the token ${token}`, `{"state":{},"clientToken":${token}}`, LONE),
    ),
    poison('a token with a NUL', '{"state":{},"clientToken":"a\\u0000"}', NUL),
    ...['1', '7', '9007199254740991'].map((version) =>
      poison(
        `version ${version} of no state`,
        `{"state":{},"version":${version}}`,
        refused(409, 'Version conflict'),
      ),
    ),
    ...['0', '-0', '0.0', '0e9'].map((version) =>
      poison(`version ${version}`, `{"state":{},"version":${version}}`, 'accepted'),
    ),
    ...['null', '{}', '{"reported":null}', '{"desired":null,"reported":null}', '{"reported":{}}'].map(
      (state) => poison(`the state ${state}`, `{"state":${state}}`, 'accepted'),
    ),
  ];
}

/** So many bytes of state, as UTF-8 JSON: `{"reported":{"a":"…"}}` counts the section's own object. */
function sizes(): PoisonCase[] {
  const filled = (count: number, unit: string): string =>
    `{"state":{"reported":{"a":"${unit.repeat(count)}"}}}`;
  const tooLarge = refused(413, 'The state would be');
  const keys = (count: number): string =>
    `{"state":{"desired":{${Array.from({ length: count }, (_, i) => `"${i}":${i % 10}`).join()}}}}`;
  const tooLong = refused(413, 'The request is ');
  const padded = (bytes: number): string => `{"state":{}}`.padEnd(bytes);
  return [
    poison('30,000 characters', filled(30_000, 'x'), 'accepted'),
    poison('40,000 characters', filled(40_000, 'x'), tooLarge),
    poison('20,000 characters of two bytes', filled(20_000, 'é'), tooLarge),
    poison('20,000 escapes for one byte', filled(20_000, '\\u0041'), 'accepted'),
    poison('20,000 escapes for two bytes', filled(20_000, '\\u00e9'), tooLarge),
    poison('10,000 escapes that stay', filled(10_000, '\\u0001'), tooLarge),
    poison('3,000 keys', keys(3_000), 'accepted'),
    poison('10,000 keys', keys(10_000), tooLarge),
    poison('10,000 elements', `{"state":{"reported":{"a":[${'1,'.repeat(9_999)}1]}}}`, 'accepted'),
    poison('40,000 elements', `{"state":{"reported":{"a":[${'1,'.repeat(39_999)}1]}}}`, tooLarge),
    poison('a long key', `{"state":{"reported":{"${'k'.repeat(20_000)}":1}}}`, 'accepted'),
    poison('a key of the greatest length', `{"state":{"reported":{"${'k'.repeat(100_000)}":1}}}`, tooLarge),
    poison('a request of 128 KiB', padded(128 * 1024), 'accepted'),
    poison('a request of 128 KiB and a byte', padded(128 * 1024 + 1), tooLong),
    poison('a request of 500 KiB', padded(500 * 1024), tooLong),
    poison('500 KiB that are not JSON', Buffer.alloc(500 * 1024, '['), tooLong),
    poison('500 KiB that are not UTF-8', Buffer.alloc(500 * 1024, 0xff), tooLong),
  ];
}

export function badValues(): PoisonCase[] {
  const strings = (values: readonly string[]): string[] => values.map((value) => `"${value}"`);
  const keys = (values: readonly string[]): string[] => values.map((value) => `{"${value}":1}`);
  const outsideArrays = Object.keys(PLACES).filter((place) => place !== 'in an array');
  return [
    ...everywhere('exact', EXACT_NUMBERS, 'accepted'),
    ...everywhere('inexact', INEXACT_NUMBERS, INEXACT),
    ...everywhere('surrogate', strings(LONE_SURROGATES), LONE),
    ...everywhere('key with a surrogate', keys(LONE_SURROGATES), LONE),
    ...everywhere('NUL', strings(NULS), NUL),
    ...everywhere('key with a NUL', keys(NULS), NUL),
    ...everywhere('null', ['null', '{"b":null}', '{"b":{"c":null}}'], 'accepted', outsideArrays),
    ...everywhere(
      'null in an array',
      ['[null]', '[1,null]', '[[null]]', '{"b":[null]}', '[{"b":null}]'],
      NO_NULL,
    ),
    ...everywhere('null in an array', ['null', '{"b":null}'], NO_NULL, ['in an array']),
    ...pollution(),
    ...everywhere(
      'the key',
      HARMLESS_KEYS.map((key) => `{${JSON.stringify(key)}:1}`),
      'accepted',
    ),
    ...duplicates(),
    ...envelopes(),
    ...sizes(),
  ];
}
