import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { createHash } from 'node:crypto';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ApiKeys, hashOf, lineOf, newApiKey, parseApiKeys } from '../../../src/adapters/access/api-keys.js';
import { WatchedFiles } from '../../../src/adapters/access/watched-files.js';
import { type Caller } from '../../../src/application/access/rules.js';
import { callerOf } from '../../../src/cli/api-key.js';
import { UsageError } from '../../../src/cli/command.js';
import { until } from '../../support/http.js';
import { temporaryFolder } from '../../support/service.js';

const lamp: Caller = { id: 'lamp-1', role: 'device', devices: ['lamp-1'] };
const ops: Caller = { id: 'ops', role: 'operator', devices: [] };

describe('an API key', () => {
  it('is 256 random bits, and another one each time', () => {
    const keys = Array.from({ length: 100 }, newApiKey);
    expect(new Set(keys).size).toBe(100);
    for (const key of keys) expect(key).toMatch(/^dsr_[A-Za-z0-9_-]{43}$/);
  });

  it('stands in the file as its SHA-256', () => {
    const line = lineOf(lamp, 'dsr_x');
    expect(JSON.parse(line)).toEqual({ ...lamp, sha256: createHash('sha256').update('dsr_x').digest('hex') });
    expect(line).not.toContain('dsr_x');
  });
});

describe('a file of API keys', () => {
  const line = lineOf(lamp, 'dsr_x');

  it('has a line for each, comments and empty lines', () => {
    const keys = parseApiKeys(`\uFEFF# the lamps\r\n\r\n${line}\r\n${lineOf(ops, 'dsr_y')}`);
    expect([...keys]).toEqual([
      [hashOf('dsr_x'), lamp],
      [hashOf('dsr_y'), ops],
    ]);
    expect(parseApiKeys('# nobody\n').size).toBe(0);
  });

  it.each([
    ['', 'it is empty'],
    [' \n', 'it is empty'],
    ['dsr_secret', 'line 1: it is not JSON'],
    [`${line}\n[]`, 'line 2: it is not a JSON object'],
    [`#\n${line}\n${line}`, 'line 3: this sha256 stands there before'],
    ['{"id":"a","role":"analyst","sha256":"dsr_secret"}', 'line 1: sha256 must be 64'],
    [`{"id":"a","role":"analyst","dsr_secret":1,"sha256":"${'0'.repeat(64)}"}`, 'line 1: it has a member'],
    [`{"id":"a","role":"admin","sha256":"${'0'.repeat(64)}"}`, 'line 1: role must be'],
    [line.slice(0, -20), 'line 1: it is not JSON'],
  ])('is refused where it is %j', (text, problem) => {
    let said = '';
    try {
      parseApiKeys(text);
    } catch (error) {
      said = String(error);
    }
    expect(said).toContain(problem);
    expect(said).not.toContain('secret');
  });
});

describe('a file of API keys that changes', () => {
  const logged: string[] = [];
  const logger = {
    info: (_: object, message: string) => void logged.push(message),
    error: (facts: object, message: string) => void logged.push(`${message}: ${JSON.stringify(facts)}`),
  };
  let folder: { path: string; remove: () => void };
  let file: string;
  let keys: ApiKeys;
  beforeEach(() => {
    folder = temporaryFolder();
    file = join(folder.path, 'keys');
    logged.length = 0;
    writeFileSync(file, lineOf(lamp, 'one'));
    keys = new ApiKeys(file, logger);
  });
  afterEach(() => {
    keys.close();
    folder.remove();
  });

  it('is read again, also where another file takes its place', async () => {
    expect(keys.callerOf('one')).toEqual(lamp);
    expect(keys.callerOf('two')).toBeUndefined();
    writeFileSync(file, lineOf(ops, 'two'));
    await until('the second key counts', () => keys.callerOf('two') !== undefined);
    expect(keys.callerOf('one')).toBeUndefined();
    writeFileSync(`${file}.new`, lineOf(lamp, 'six'));
    renameSync(`${file}.new`, file);
    await until('the third key counts', () => keys.callerOf('six') !== undefined);
  });

  it('keeps the keys before where the new version is broken or gone, says so once, and goes on', async () => {
    writeFileSync(file, 'broken');
    await until('it was told', () => logged.length === 1);
    expect(logged[0]).toContain('line 1: it is not JSON');
    expect(keys.callerOf('one')).toEqual(lamp);
    rmSync(file);
    await until('it was told', () => logged.length === 2);
    expect(logged[1]).toContain('ENOENT');
    expect(keys.callerOf('one')).toEqual(lamp);
    writeFileSync(file, lineOf(ops, 'two'));
    await until('the new key counts', () => keys.callerOf('two') !== undefined);
    expect(logged).toHaveLength(3);
  });
});

describe('files that are watched', () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  it('are told of once, when they rest after a change', () => {
    const folder = temporaryFolder();
    const file = join(folder.path, 'file');
    let toldCount = 0;
    writeFileSync(file, '');
    const files = new WatchedFiles([file], () => toldCount++);
    files.watch();
    const look = (): number => {
      jest.advanceTimersByTime(1000);
      return toldCount;
    };
    expect([look(), look()]).toEqual([0, 0]);
    for (const text of ['a', 'ab', 'abc']) {
      writeFileSync(file, text);
      expect(look()).toBe(0);
    }
    expect([look(), look(), look()]).toEqual([1, 1, 1]);
    rmSync(file);
    expect([look(), look()]).toEqual([1, 2]);
    files.close();
    writeFileSync(file, '');
    expect([look(), look()]).toEqual([2, 2]);
    folder.remove();
  });
});

describe('api-key create', () => {
  it.each([
    [{ role: 'device', devices: 'lamp-1' }, lamp],
    [
      { role: 'device', devices: 'lamp-1', id: 'x' },
      { ...lamp, id: 'x' },
    ],
    [
      { role: 'component', devices: 'lamp-*, hub' },
      { id: 'component', role: 'component', devices: ['lamp-*', 'hub'] },
    ],
    [{ role: 'operator', id: 'ops' }, ops],
  ])('makes of %j a caller', (values, caller) => {
    expect(callerOf(values)).toEqual(caller);
  });

  it.each([[{}], [{ role: 'admin' }], [{ role: 'device' }], [{ role: 'component', devices: 'a**' }]])(
    'refuses %j',
    (values) => {
      expect(() => callerOf(values)).toThrow(UsageError);
    },
  );
});
