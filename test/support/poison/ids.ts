/** What may stand where a device's id is expected: in a record's key, a path, a topic. */

// prettier-ignore
export const LEGAL_IDS = [
  'a', 'A', '0', '-', '_', ':', '...', '.a', 'a.', '..a', 'a..', '-1', '--', 'null', 'true', 'NaN', 'toString', 'constructor', '__proto__', 'prototype', 'hasOwnProperty',
  'update', 'get', 'delete', 'events', 'history', 'fleet', 'health', 'metrics', 'docs', 'name', 'x'.repeat(128), `${'x'.repeat(126)}-.`, 'urn:dev:mac:0024beffff804ff1', 'a:b:c', 'COM1', 'con',
  'a/name/b', 'a/name/$b', 'a/name/update', 'a/name/__proto__', `${'x'.repeat(128)}/name/${'y'.repeat(64)}`, 'a/name/...', 'name/name/name',
];

// prettier-ignore
export const ILLEGAL_IDS: readonly (string | Buffer)[] = [
  '', ' ', '.', '..', '/', '//', 'a/', '/a', 'a//b', 'a/b', 'a/name', 'a/name/', '/name/b', 'a/name/.', 'a/name/..', 'a/name/b/c', './name/b', '../name/b', 'a/Name/b', 'a/names/b', '$a', '$a/name/b', 'a/name/b c', `a/name/${'y'.repeat(65)}`,
  'x'.repeat(129), 'x'.repeat(5000), 'x'.repeat(100_000), 'a b', ' a', 'a ', 'a\tb', 'a\nb', 'a\n', '\na', 'a\r\nb', 'a\0', '\0', 'a\0b', '\x01', '\x1b[31m', '\x7f', 'é', 'e\u0301', 'ａ', '日本', '😀', '\ufeffa', 'a\u200b', '\u202ea', 'ı', '\u212a',
  'a+', '+', '#', 'a#', '*', 'a*', 'a?', 'a&b', 'a=b', 'a%2Fb', '%2e', '%', '%00', 'a;b', 'a,b', 'a|b', 'a\\b', '..\\a', "a'b", 'a"b', 'a`b', '<a>', '{a}', '[a]', '(a)', '~', '~root', '@', 'a@b', '!', 'a!', '^', '$', '$(a)', '${a}', '{{a}}', '%s',
  "' OR 1=1 --", '../../etc/passwd', 'a,b', 'null\0', '"a"', '{"id":"a"}',
  Buffer.from([0x80]), Buffer.from([0xff, 0xfe]), Buffer.from([0xe9]), Buffer.from([0xc0, 0xaf]), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from([0x61, 0xff]), Buffer.alloc(64), Buffer.alloc(2000, 0xff),
];
// Some that the legal ones hold: of these characters and no longer, but dots alone.
ILLEGAL_IDS.forEach((id) => {
  if (LEGAL_IDS.includes(String(id))) throw new Error(`Both legal and not: ${String(id)}`);
});
