import { PLACES, poison, type PoisonCase } from './case.js';

/**
 * Texts that programs stumble over, each of which is a value as any other here: it must be taken, and read back as it
 * was sent. Written for this service, by what may be done with a state later: put into SQL, HTML, a shell, a log, a path.
 */
// prettier-ignore
const TEXTS = [
  // Words that are something else elsewhere
  '', ' ', 'null', 'NULL', 'nil', 'none', 'None', 'undefined', 'true', 'false', 'TRUE', 'yes', 'no', 'on', 'off', 'NaN',
  'Infinity', '-Infinity', '0', '-0', '00', '1', '1.0', '1e3', '1e999', '0x10', '0b1', '0o7', '١٢٣', '１２３', '½', '9007199254740993',
  '2026-02-30', '24:60:60', '1970-01-01T00:00:00Z', '9999-99-99', 'constructor', '__proto__', 'prototype', 'hasOwnProperty', '[object Object]',
  '{}', '[]', '{"a":1}', '""', "''", '\\', '\\\\', '/', '//', '.', '..', '*', '?', '~', '-', '--', '-rf', '@', '#', '$', '%', '^', '&', '|', ';', ':', ',', '!',
  // Databases
  "'", "''", "' OR '1'='1", "'; DROP TABLE replicas; --", '1; SELECT pg_sleep(9)', '" OR ""="', 'x\' UNION SELECT sqlite_version() --',
  '$1', ':name', '@p0', '%', '_', '\\_', 'a%_b', 'E\'\\x27\'', '{"$gt":""}', '{"$where":"while(1);"}', "') OR json_extract('a','$')--", '/*!50000x*/', ';--', '0x27',
  // Pages
  '<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', '<!--', '-->', ']]>', '<![CDATA[x]]>', '&lt;', '&#0;', '&amp;amp;',
  'javascript:alert(1)', 'data:text/html,<b>x</b>', '</textarea>', '<svg/onload=x>', '<a href="//x">', "onmouseover='x'", '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><a>&b;</a>',
  // Programs and templates
  '$(touch x)', '`touch x`', '| cat', '& calc', '; ls', '$HOME', '${HOME}', '%PATH%', '{{7*7}}', '{{constructor.constructor("return 1")()}}', '${7*7}', '<%= 7*7 %>', '#{7*7}',
  '%s%s%s%n', '%d', '%x', '%999999d', '{0}', '{:>9999}', '${jndi:ldap://x/a}', '=1+1', '+1', '-1+1', '@SUM(1)', '=cmd|x!A0', '__import__("os")', 'eval(1)', 'require("fs")', 'process.exit()',
  // Paths and topics
  '../../etc/passwd', '..\\..\\x', '%2e%2e%2f', '%00', '%0d%0a', 'C:\\', '\\\\host\\share', 'file:///x', '/dev/zero', 'CON', 'NUL', 'a/b', 'state/x/update', 'state.update', '+/#', '#', '$SYS/x', '$aws/things/x', '$share/g/t',
  // Lines and terminals
  'a\nb', 'a\rb', 'a\r\nb', 'a\r\n\r\nb', 'x\r\nSet-Cookie: a=b', 'x\nlevel=error', '\t', '\v', '\f', '\b\b\b', '\u0007', '\u001b[31mred\u001b[0m', '\u001b]0;t\u0007', '\u001b[2J', '\u0001', '\u001f', '\u007f', '\u0080', '\u0085', '\u009b31m', '\u2028', '\u2029',
  // Letters
  'é', 'e\u0301', 'ſ', 'İ', 'ı', 'ß', 'ẞ', 'ﬁ', 'Å', 'A\u030a', 'Ω', 'Ω', 'Z\u0351\u036b\u0343\u0489', 'ا\u0670\u0651\u0650', '日本語', '한글', 'ไทย', 'नमस्ते', 'שלום', 'مرحبا', 'ｆｕｌｌ', '㍿', '﷽', '🇩🇪', '👩‍👩‍👧‍👦', '👍🏽', '🏴󠁧󠁢󠁥󠁮󠁧󠁿', '𝕳𝖎', '𐍈', '𠜎', '1️⃣',
  '\u200b', '\u200c\u200d', '\u2060', '\u00ad', '\ufeff', 'a\ufeffb', '\u202egnp.exe', '\u202a\u202b\u202c', '\u2066\u2067\u2069', '\u00a0', '\u1680', '\u2003', '\u3000', '\u180e', '\u061c', '\u115f', '\u3164', '\ufffc', '\ufffd', '\ufffe', '\uffff', '\ufdd0', '\ue000', '\u{e0001}', '\u{1fffe}', '\u{f0000}', '\u{10ffff}', '￿', '\u034f', '\u2800',
  // Much
  'x'.repeat(1000), ' '.repeat(1000), '"'.repeat(500), '\\'.repeat(500), '\n'.repeat(500), '😀'.repeat(300), 'e\u0301'.repeat(300), '('.repeat(1000), '['.repeat(1000), '{"a":'.repeat(200), 'a'.repeat(1000) + '!', `${'a '.repeat(500)}!`, '\u0301'.repeat(500), '\u202e'.repeat(300),
] as const;

const KEYS_OF_OBJECTS = new Set(['__proto__', 'constructor', 'prototype']);

export function naughtyTexts(): PoisonCase[] {
  // Some look different and are not.
  return [...new Set<string>(TEXTS)].flatMap((text): PoisonCase[] => {
    const json = JSON.stringify(text);
    const escaped = `"${[...Array(text.length).keys()].map((i) => `\\u${text.charCodeAt(i).toString(16).padStart(4, '0')}`).join('')}"`;
    const name = json.length > 60 ? `${json.slice(0, 60)}… (${json.length})` : json;
    const at = { path: ['reported', 'a'], value: text };
    return [
      { ...poison(`the text ${name}`, PLACES['in reported']?.(json) ?? '', 'accepted'), kept: at },
      {
        ...poison(`in escapes, the text ${name}`, PLACES['in reported']?.(escaped) ?? '', 'accepted'),
        kept: at,
      },
      {
        ...poison(`in an array, the text ${name}`, PLACES['in an array']?.(json) ?? '', 'accepted'),
        kept: { path: ['reported', 'a'], value: [1, text] },
      },
      ...(KEYS_OF_OBJECTS.has(text)
        ? []
        : [
            {
              ...poison(`the key ${name}`, `{"state":{"desired":{${json}:{${escaped}:[]}}}}`, 'accepted'),
              kept: { path: ['desired', text, text], value: [] },
            },
          ]),
    ];
  });
}
