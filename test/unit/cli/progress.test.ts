import { describe, expect, it } from '@jest/globals';
import { endOfBar, Progress } from '../../../src/cli/progress.js';

/** What was written, and a clock that the test moves. */
function watch(isTTY: boolean, columns = 120) {
  const written: string[] = [];
  let now = 1_000;
  const output = { isTTY, columns, write: (text: string) => written.push(text) };
  const progress = new Progress(output, 'Copying', () => now);
  return { written, progress, after: (milliseconds: number) => (now += milliseconds) };
}

describe('progress', () => {
  it('is a line every few seconds where there is no terminal', () => {
    const { written, progress, after } = watch(false);
    for (let n = 1; n <= 100; n++) {
      after(120);
      progress.update(n * 1000, n / 100);
    }
    progress.end(100_000);
    expect(written).toEqual([
      'Copying: 42 %, 42,000 events, 8,333/s, 8 s left\n',
      'Copying: 84 %, 84,000 events, 8,333/s, 2 s left\n',
      'Copying: 100 %, 100,000 events, 8,333/s\n',
    ]);
  });

  it('is one bar on a terminal', () => {
    const { written, progress, after } = watch(true);
    for (const share of [0, 0.25, 0.5]) {
      after(60_000);
      progress.update(share * 4000, share);
      progress.update(share * 4000, share);
    }
    progress.end(4000);
    expect(written).toEqual([
      '\r\u001b[KCopying ░░░░░░░░░░░░░░░░░░░░░░░░ 0 %  0 events, 0/s',
      '\r\u001b[KCopying ██████░░░░░░░░░░░░░░░░░░ 25 %  1,000 events, 8/s, 6 min 0 s left',
      '\r\u001b[KCopying ████████████░░░░░░░░░░░░ 50 %  2,000 events, 11/s, 3 min 0 s left',
      '\r\u001b[KCopying ████████████████████████ 100 %  4,000 events, 22/s',
      '\n',
    ]);
  });

  it('stays within the line of the terminal, whatever it tells', () => {
    for (const columns of [80, 60, 20]) {
      const { written, progress, after } = watch(true, columns);
      after(60_000);
      progress.update(0, 0);
      after(600_000);
      progress.update(10_000_000, 0.1);
      const line = written.at(-1)?.replace('\r\u001b[K', '') ?? '';
      expect(line.length).toBeLessThan(columns);
      if (columns >= 80) expect(line).toContain('10 %  10,000,000 events, 15,152/s, 1 h 39 min left');
    }
  });

  it('says once that its line is to be ended, and only where one is drawn', () => {
    endOfBar();
    const { progress, after } = watch(true);
    expect(endOfBar()).toBe('');
    after(200);
    progress.update(1, 0.1);
    expect([endOfBar(), endOfBar()]).toEqual(['\n', '']);
    progress.end(2);
    expect(endOfBar()).toBe('');
  });

  it('takes its time left from this run alone, and tells hours', () => {
    const { written, progress, after } = watch(true);
    after(1000);
    progress.update(0, 0.5);
    after(3_600_000);
    progress.update(100, 0.6);
    expect(written.at(-1)).toContain(', 4 h 0 min left');
  });

  it('has an end also of nothing', () => {
    const { written, progress } = watch(false);
    progress.end(0);
    expect(written).toEqual(['Copying: 100 %, 0 events, 0/s\n']);
  });
});
