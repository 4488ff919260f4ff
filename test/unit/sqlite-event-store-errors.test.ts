import { describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { toCommitError, toEventStoreError } from '../../src/adapters/event-store/sqlite/errors.js';

const sqliteError = (code: string): Error => new Database.SqliteError('message', code);

describe('errors of SQLite', () => {
  it.each([
    ['SQLITE_FULL', 'unavailable', 'unavailable'],
    ['SQLITE_READONLY', 'unavailable', 'unavailable'],
    ['SQLITE_READONLY_DBMOVED', 'unavailable', 'unavailable'],
    ['SQLITE_BUSY', 'unavailable', 'unavailable'],
    ['SQLITE_BUSY_SNAPSHOT', 'unavailable', 'unavailable'],
    ['SQLITE_CANTOPEN', 'unavailable', 'unavailable'],
    ['SQLITE_NOTADB', 'corrupt', 'corrupt'],
    ['SQLITE_CORRUPT', 'corrupt', 'corrupt'],
    ['SQLITE_CORRUPT_INDEX', 'corrupt', 'corrupt'],
    ['SQLITE_IOERR_CORRUPTFS', 'corrupt', 'corrupt'],
    ['SQLITE_IOERR_READ', 'unavailable', 'outcome-unknown'],
    ['SQLITE_IOERR_FSYNC', 'unavailable', 'outcome-unknown'],
    ['SQLITE_CONSTRAINT_UNIQUE', 'unavailable', 'unavailable'],
  ])('%s is %s, and %s where the commit failed', (code, before, atCommit) => {
    expect(toEventStoreError(sqliteError(code), '/data/events.db').code).toBe(before);
    const error = toCommitError(sqliteError(code), '/data/events.db');
    expect(error.code).toBe(atCommit);
    expect(error.message).toMatch(/^DATA_DIR: \/data\/events\.db .+$/);
    expect(error.cause).toMatchObject({ code });
  });

  it('stay what they are where they are known already', () => {
    const known = toEventStoreError(sqliteError('SQLITE_FULL'), '/data');
    expect(toEventStoreError(known, '/elsewhere')).toBe(known);
  });
});
