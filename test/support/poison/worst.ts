/**
 * The requests that cost the most of their kind, of about so many bytes: for what holds up the event loop. Each grows with
 * the size asked for, so that what grows with its square shows.
 */
export interface WorstCase {
  readonly name: string;
  /** The state that the device has before; undefined: none. */
  readonly before?: (bytes: number) => string;
  readonly request: (bytes: number) => string;
}

const reported = (value: string): string => `{"state":{"reported":${value}}}`;
const list = (count: number, of: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => of(index)).join();
const keys = (bytes: number, value: string, name = (index: number) => index.toString(36)): string => {
  const members: string[] = [];
  for (let size = 0, index = 0; size < bytes; index++) {
    const member = `"${name(index)}":${value}`;
    members.push(member);
    size += member.length + 1;
  }
  return `{${members.join()}}`;
};
const elements = (bytes: number, value: string): string =>
  `[${list(Math.ceil(bytes / (value.length + 1)), () => value)}]`;

export const WORST_CASES: readonly WorstCase[] = [
  { name: 'plain text', request: (n) => reported(`{"a":"${'x'.repeat(n)}"}`) },
  { name: 'escapes for one character each', request: (n) => reported(`{"a":"${'\\u0041'.repeat(n / 6)}"}`) },
  { name: 'escapes that stay', request: (n) => reported(`{"a":"${'\\n'.repeat(n / 2)}"}`) },
  { name: 'backslashes', request: (n) => reported(`{"a":"${'\\\\'.repeat(n / 2)}"}`) },
  { name: 'letters of four bytes', request: (n) => reported(`{"a":"${'😀'.repeat(n / 4)}"}`) },
  { name: 'short keys', request: (n) => reported(keys(n, '1')) },
  {
    name: 'keys that are numbers, downwards',
    request: (n) => reported(keys(n, '1', (i) => String(999_999 - i))),
  },
  {
    name: 'keys that are numbers far apart',
    request: (n) => reported(keys(n, '1', (i) => String(i * 65_536))),
  },
  {
    name: 'keys with a long beginning in common',
    request: (n) => reported(keys(n, '1', (i) => 'k'.repeat(500) + String(i))),
  },
  { name: 'keys of escapes', request: (n) => reported(keys(n, '1', (i) => `\\u0061${i}`)) },
  { name: 'one long key', request: (n) => reported(`{"${'k'.repeat(n)}":1}`) },
  { name: 'empty objects', request: (n) => reported(keys(n, '{}')) },
  { name: 'nulls', request: (n) => reported(keys(n, 'null')) },
  { name: 'numbers of one digit', request: (n) => reported(`{"a":${elements(n, '1')}}`) },
  {
    name: 'zeros, and one number that would be none',
    request: (n) => reported(`{"a":[${'0,'.repeat(n / 2)}1e-400]}`),
  },
  { name: 'one long whole number', request: (n) => reported(`{"a":${'9'.repeat(n)}}`) },
  { name: 'one long fraction', request: (n) => reported(`{"a":0.${'3'.repeat(n)}}`) },
  { name: 'one fraction of zeros', request: (n) => reported(`{"a":0.${'0'.repeat(n)}1}`) },
  {
    name: 'fractions of seventeen digits',
    request: (n) => reported(`{"a":${elements(n, '0.12345678901234567')}}`),
  },
  { name: 'large exponents', request: (n) => reported(`{"a":${elements(n, '1e-300')}}`) },
  { name: 'empty arrays', request: (n) => reported(`{"a":${elements(n, '[]')}}`) },
  { name: 'arrays as deep as may be', request: (n) => reported(`{"a":${elements(n, '[[[[]]]]')}}`) },
  { name: 'objects as deep as may be', request: (n) => reported(keys(n, '{"a":{"a":{"a":{"a":{}}}}}')) },
  { name: 'deeper than may be', request: (n) => reported(`{"a":${'['.repeat(n / 2)}${']'.repeat(n / 2)}}`) },
  { name: 'objects that are not closed', request: (n) => '{"a":'.repeat(n / 5) },
  { name: 'a key twice, at the end', request: (n) => reported(keys(n, '1').replace(/}$/, ',"0":1}')) },
  {
    name: 'a key twice, behind long texts',
    request: (n) => reported(`{"a":"${'\\"'.repeat(n / 2)}","b":1,"b":2}`),
  },
  { name: 'no JSON at the last byte', request: (n) => reported(`{"a":"${'x'.repeat(n)}"`) },
  { name: 'spaces', request: (n) => `{"state":{}}${' '.repeat(n)}` },
  { name: 'what is ignored', request: (n) => `{"state":{},"x":${elements(n, '{"a":[1]}')}}` },
  { name: 'a wrong token', request: (n) => `{"state":{},"clientToken":"${'x'.repeat(n)}"}` },
  { name: 'a wrong section', request: (n) => `{"state":{"${'x'.repeat(n)}":{}}}` },
  {
    name: 'many keys into as many others',
    before: (n) => reported(keys(n / 5, '1', (i) => `a${i}`)),
    request: (n) => reported(keys(n / 5, '1', (i) => `b${i}`)),
  },
  {
    name: 'as many keys with other values',
    before: (n) => reported(keys(n / 5, '1')),
    request: (n) => reported(keys(n / 5, '2')),
  },
  {
    name: 'as many keys removed',
    before: (n) => reported(keys(n / 5, '1')),
    request: (n) => reported(keys(n / 5, 'null')),
  },
  {
    name: 'a delta of many keys',
    before: (n) => reported(keys(n / 10, '1')),
    request: (n) => `{"state":{"desired":${keys(n / 10, '2')}}}`,
  },
  {
    name: 'an array in the place of an equal one',
    before: (n) =>
      `{"state":{"desired":{"a":${elements(n / 10, '1')}},"reported":{"a":${elements(n / 10, '1')}}}}`,
    request: (n) => reported(`{"a":${elements(n / 10, '1')}}`),
  },
  {
    name: 'an array that differs at its end',
    before: (n) =>
      `{"state":{"desired":{"a":${elements(n / 10, '[1]')}},"reported":{"a":${elements(n / 10, '[1]')}}}}`,
    request: (n) => reported(`{"a":${elements(n / 10, '[1]').replace(/1]]$/, '2]]')}}`),
  },
  {
    name: 'a small change of a large state',
    before: (n) => reported(keys(n / 5, '1')),
    request: () => reported('{"z":1}'),
  },
];
