import { everywhere, INVALID, NOT_UTF8, PLACES, poison, type PoisonCase, refused } from './case.js';

/** Texts that parsers of JSON are known to read in different ways; written for this service. */

// prettier-ignore
const VALID = [
  '0', '-0', '1', '-1', '10', '0.5', '-0.5', '1e0', '1E0', '1e+0', '1e-0', '1.5e3', '1E-7', '123.456e-2', '0e0',
  '0.0', '-0.0e-0', '9007199254740991', '-9007199254740991', '0.1', '1e-320', 'true', 'false', '""', '" "', '"a"',
  '"\\""', '"\\\\"', '"\\/"', '"/"', '"\\b\\f\\n\\r\\t"', '"\\u0041"', '"\\u00e9"', '"\\u20AC"', '"\\u20ac"',
  '"\\uD83D\\uDE00"', '"\\ud83d\\ude00"', '"é€😀"', '"\u007f"', '"\u0080"', '"\u2028\u2029"', '"\ufeff"', '"\uffff"',
  '"\\uffff"', '"\\uFFFE"', '"\\u0001"', '"\\u001f"', '"\\\\u0000"', '"\u{10ffff}"', '"\\udbff\\udfff"',
  '"{\\"a\\":1}"', '"[1,2]"', '"null"', '"a:b,c"', '"//"', '"/* */"', '[]', '[ ]', '[[]]', '[{}]', '[1,2]',
  '[ 1 , 2 ]', '[true,false,"x",1]', '[[],[[]]]', '{}', '{ }', '{"":1}', '{"a":{}}', '{"a":1,"b":2}',
  '{ "a" : 1 , "b" : [ ] }', '{"\\u0061":1}', '{"a b":1}', '{"é":1}', '{"0":1,"1":2}', '{"length":1}',
  ' 1 ', '\t1', '\n1\n', '\r\n1\r\n', ' \t\r\n{ \t\r\n} \t\r\n',
] as const;

// prettier-ignore
const NOT_JSON = [
  // Numbers
  '01', '-01', '00', '0x1', '0X1F', '0b1', '0o7', '1.', '.1', '-.1', '-', '+1', '+', '--1', '1e', '1E', '1e+', '1e-',
  '1.e1', '1e1.5', '1e1e1', '1..2', '1.2.3', '1_000', '1 000', '1,5,', '1n', '1f', '1L', '١', '１', '½', 'Infinity',
  '-Infinity', 'NaN', '-NaN', 'nan', 'inf', '0e', '-e1', 'e1', '1e１', '2-1', '1+1', '0.', '1.0.0',
  // Words
  'True', 'TRUE', 'tru', 'truee', 'False', 'Null', 'NULL', 'nul', 'nulll', 'nil', 'None', 'undefined', 'void 0', 'yes',
  'on', 'a', 'new Date()', 'true false', 'nulltrue',
  // Strings
  '"', '"a', 'a"', "'a'", '`a`', '“a”', '"\\', '"\\"', '"\\x41"', '"\\u"', '"\\u1"', '"\\u12"', '"\\u123"', '"\\u123g"',
  '"\\u{41}"', '"\\U0041"', '"\\0"', '"\\a"', '"\\v"', '"\\e"', '"\\ "', '"\\\n"', '"\\101"', '"\n"', '"\r"', '"\t"',
  '"\0"', '"\u0001"', '"\u001b"', '"\u001f"', '"a" "b"', '"a""b"', '"a"b', '"a"+"b"', '"\\ud83d\\u"', '"\\u-123"',
  '"\\u 123"', '"\\u12 3"', 'R"(a)"', '@"a"',
  // Arrays
  '[', '[1', '[1,', '[1,]', '[,1]', '[,]', '[1,,2]', '[1 2]', '[1;2]', '[1:2]', '["a":1]', '[1}', '[}', ']', '(1)', '<1>',
  '[1]]', '[...[]]', '[,,]', '[1,2,3,]', '[\0]', '[1,\f2]', '[1\v]',
  // Objects
  '{', '{"a"', '{"a":', '{"a":1', '{"a":1,', '{"a":1,}', '{,"a":1}', '{,}', '{"a"}', '{"a",}', '{"a" 1}', '{"a"=1}',
  '{"a":1 "b":2}', '{"a":1;"b":2}', '{"a":1,,"b":2}', '{a:1}', "{'a':1}", '{1:1}', '{null:1}', '{true:1}', '{"a"::1}',
  '{:1}', '{"a":1]', '{]', '{[]:1}', '{{}:1}', '{"a":1}}', '{"a":}', '{"a":,}', '{"a":1:2}', '{"a" "b":1}',
  // What other languages have
  '/* */1', '1/* */', '// \n1', '# \n1', '<!-- -->1', '1;', '!1', '*a', '&a 1', '${1}', '{{1}}', '%d', '@1', '$1', '1%',
  '\u00a01', '1\u00a0', '\u20281', '\u20031', '\ufeff1', '\u200b1', '\f1', '\v1', '\0', '1\0', '\u0085', '\u30001',
] as const;

/** Valid on their own, and not as a request. */
// prettier-ignore
const OTHER_ROOTS = ['null', 'true', 'false', '0', '-1', '1e5', '""', '"{}"', '"{\\"state\\":{}}"', '[]', '[{"state":{}}]', '[[]]'];

const WHOLE = '{"state":{"reported":{"a":[1,{"b":"\\u00e9\\n"}],"c":-1.5e3}},"version":0,"clientToken":"t"}';

// prettier-ignore
const NOT_WHOLE = [
  '', ' ', '\n\n', '{}{}', '{"state":{}}{"state":{}}', '{"state":{}}\n{"state":{}}', '{"state":{}},', '{"state":{}}]',
  '{"state":{}}}', ',{"state":{}}', '[{"state":{}}', '{"state":{}};', '{"state":{}}\0', '\0{"state":{}}',
  '\ufeff{"state":{}}', '{"state":{}}\ufeff', '{"state":{}}x', 'x{"state":{}}', '({"state":{}})', 'f({"state":{}})',
  ')]}\',\n{"state":{}}', '{"state":{}}// x', '{"state":{}}/* x */', '{"state":{}}\u00a0', '\u001e{"state":{}}\n',
  'state={}', 'state[reported][a]=1', '<state><reported/></state>', 'state:\n  reported:\n    a: 1\n', '---\nstate: {}',
  '{state:{reported:{a:1}}}', "{'state':{}}", 'GET / HTTP/1.1\r\n\r\n', '%7B%22state%22%3A%7B%7D%7D', 'eyJzdGF0ZSI6e319',
  '{"state":{}}\u001a', '{"state"\f:{}}', '{"state":\v{}}', '{"sta\nte":{}}', '{"state":{"reported":{"\t":1}}}',
];

// prettier-ignore
const TRUNCATED_OR_ALIEN_UTF8: readonly (readonly [string, readonly number[]])[] = [
  ['a lone continuation', [0x80]], ['another lone continuation', [0xbf]], ['two continuations', [0x80, 0xbf]],
  ['half of two bytes', [0xc3]], ['a third of three bytes', [0xe2]], ['two thirds of three bytes', [0xe2, 0x82]],
  ['a quarter of four bytes', [0xf0]], ['half of four bytes', [0xf0, 0x9f]], ['three quarters', [0xf0, 0x9f, 0x98]],
  ['an overlong NUL', [0xc0, 0x80]], ['an overlong slash', [0xc0, 0xaf]], ['an overlong quote', [0xc0, 0xa2]],
  ['overlong in three bytes', [0xe0, 0x80, 0xaf]], ['overlong in four bytes', [0xf0, 0x80, 0x80, 0xaf]],
  ['the first surrogate', [0xed, 0xa0, 0x80]], ['the last surrogate', [0xed, 0xbf, 0xbf]],
  ['a pair of surrogates', [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]], ['beyond the last character', [0xf4, 0x90, 0x80, 0x80]],
  ['far beyond', [0xf7, 0xbf, 0xbf, 0xbf]], ['five bytes', [0xf8, 0x88, 0x80, 0x80, 0x80]],
  ['six bytes', [0xfc, 0x84, 0x80, 0x80, 0x80, 0x80]], ['0xFE', [0xfe]], ['0xFF', [0xff]], ['Latin-1', [0xe9, 0x20]],
  ['a character that another one cuts off', [0xe2, 0x82, 0x41]], ['Windows-1252 quotes', [0x93, 0x94]],
  ['Shift JIS', [0x83, 0x65]], ['GBK', [0xc4, 0xe3]],
];

const AROUND: Readonly<Record<string, readonly [string, string]>> = {
  'in a value': ['{"state":{"reported":{"a":"', '"}}}'],
  'in a key': ['{"state":{"reported":{"', '":1}}}'],
  'between the members': ['{"state":{"reported":{}},', '"x":1}'],
  'after the end': ['{"state":{}}', ''],
  'in what is not JSON either': ['{"state":[[[', ''],
};

export function jsonTexts(): PoisonCase[] {
  const prefixes = Array.from({ length: WHOLE.length }, (_, length) => WHOLE.slice(0, length));
  const bad = TRUNCATED_OR_ALIEN_UTF8.flatMap(([what, bytes]) =>
    Object.entries(AROUND).map(([where, [before, after]]) =>
      poison(
        `UTF-8, ${what} ${where}`,
        Buffer.concat([Buffer.from(before), Buffer.from(bytes), Buffer.from(after)]),
        NOT_UTF8,
      ),
    ),
  );
  const utf16 = Buffer.from('\ufeff{"state":{}}', 'utf16le');
  return [
    ...everywhere('JSON', VALID, 'accepted'),
    ...everywhere('no JSON', NOT_JSON, INVALID),
    ...OTHER_ROOTS.map((text) => poison(`no object: ${text}`, text, INVALID)),
    ...NOT_WHOLE.map((text) => poison(`no request: ${JSON.stringify(text)}`, text, INVALID)),
    ...prefixes.map((text) => poison(`cut off after ${text.length}`, text, INVALID)),
    poison('whole', WHOLE, 'accepted'),
    ...prefixes
      .slice(1)
      .map((text) => poison(`with the first ${text.length} missing`, WHOLE.slice(text.length), INVALID)),
    ...bad,
    poison('UTF-16 with its mark', utf16, NOT_UTF8),
    poison('UTF-16 the other way round', Buffer.from(utf16).swap16(), NOT_UTF8),
    poison('UTF-16 without a mark', utf16.subarray(2), INVALID),
    poison(
      'UTF-32',
      Buffer.from([...'{"state":{}}'].flatMap((char) => [0, 0, 0, char.charCodeAt(0)])),
      INVALID,
    ),
  ];
}

const DEEP = refused(400, 'JSON contains too many levels of nesting; maximum is 6');

const OPENERS: Readonly<Record<string, readonly [string, string]>> = {
  objects: ['{"a":', '}'],
  arrays: ['[', ']'],
  'arrays and objects': ['[{"a":', '}]'],
  'objects that do not end': ['{"a":', ''],
  'arrays that do not end': ['[', ''],
  'arrays with others beside': ['[[],', ']'],
};

/** Nesting, from what is allowed to what would end a recursive reader. */
export function nesting(): PoisonCase[] {
  const cases: PoisonCase[] = [];
  for (const [what, [open, close]] of Object.entries(OPENERS)) {
    const levels = open.includes('{') && open.includes('[') ? 2 : 1;
    for (const count of [1, 2, 4, 5, 6, 7, 8, 9, 12, 40, 500, 5_000, 20_000]) {
      const text = `${open.repeat(count)}1${close.repeat(count)}`;
      // The section itself is the first level. What stands beside one is a level deeper.
      const deepest = 1 + count * levels + (what.endsWith('beside') ? 1 : 0);
      if (text.length > 120_000) continue;
      let expected: PoisonCase['expected'] = deepest > 6 ? DEEP : 'accepted';
      if (close === '' && deepest <= 6) expected = INVALID;
      cases.push(poison(`${count} ${what}`, PLACES['in reported']?.(text) ?? '', expected));
    }
  }
  return cases;
}
