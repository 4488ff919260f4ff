/** What must be refused in a request's text, found by a small recursive reader of valid JSON. */
export type Problem =
  'duplicate' | 'forbidden key' | 'null in array' | 'inexact number' | 'bad string' | 'depth';

const FORBIDDEN = new Set(['__proto__', 'constructor', 'prototype']);

export function problemsOf(text: string, maxLevels: number): Set<Problem> {
  const problems = new Set<Problem>();
  let at = 0;

  const space = (): void => {
    while (' \t\n\r'.includes(text.charAt(at)) && at < text.length) at++;
  };

  const string = (): string => {
    const start = at++;
    while (text.charAt(at) !== '"') at += text.charAt(at) === '\\' ? 2 : 1;
    const value = JSON.parse(text.slice(start, ++at)) as string;
    if (value.includes('\0') || /\p{Surrogate}/u.test(value)) problems.add('bad string');
    return value;
  };

  const number = (): void => {
    const start = at;
    while (/[-+0-9.eE]/.test(text.charAt(at))) at++;
    const literal = text.slice(start, at);
    const value = Number(literal);
    const isZero = !/[1-9]/.test(literal.replace(/e.*/i, ''));
    if (Math.abs(value) > 2 ** 53 - 1 || (value === 0 && !isZero)) problems.add('inexact number');
  };

  const value = (level: number, inArray: boolean): void => {
    space();
    const first = text.charAt(at);
    if ((first === '{' || first === '[') && level + 1 > maxLevels) problems.add('depth');
    if (first === '{') members(level + 1, inArray);
    else if (first === '[') elements(level + 1);
    else if (first === '"') string();
    else if (/[-0-9]/.test(first)) number();
    else {
      const word = ['true', 'false', 'null'].find((each) => text.startsWith(each, at)) ?? '';
      if (word === 'null' && inArray) problems.add('null in array');
      at += word.length;
    }
    space();
  };

  const members = (level: number, inArray: boolean): void => {
    const keys = new Set<string>();
    at++;
    space();
    while (text.charAt(at) !== '}') {
      if (text.charAt(at) === ',') at++;
      space();
      const key = string();
      if (keys.has(key)) problems.add('duplicate');
      if (FORBIDDEN.has(key)) problems.add('forbidden key');
      keys.add(key);
      space();
      at++;
      value(level, inArray);
    }
    at++;
  };

  const elements = (level: number): void => {
    at++;
    space();
    while (text.charAt(at) !== ']') {
      if (text.charAt(at) === ',') at++;
      value(level, true);
    }
    at++;
  };

  value(0, false);
  return problems;
}
