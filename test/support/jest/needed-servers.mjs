import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

const RELATIVE_IMPORT = /from\s+'(\.{1,2}\/[^']+)\.js'/g;

/** The test files that this run will execute, as far as the command line tells. */
function selectedFiles(globalConfig) {
  const folder = join(globalConfig.rootDir, 'test');
  const all = readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join(folder, name));
  // These options choose by other means than the path: take every file then.
  if (globalConfig.onlyChanged || globalConfig.findRelatedTests || globalConfig.runTestsByPath) return all;
  const executor = globalConfig.testPathPatterns.toExecutor({ rootDir: globalConfig.rootDir });
  return executor.isSet() ? all.filter((file) => executor.isMatch(file)) : all;
}

/** Whether a selected test file, or a file that it imports by a relative path, imports this one of `test/support`. */
export function needsSupport(globalConfig, fileName) {
  const wanted = join(globalConfig.rootDir, 'test', 'support', fileName);
  const seen = new Set();
  const open = selectedFiles(globalConfig);
  for (let file = open.pop(); file !== undefined; file = open.pop()) {
    if (file === wanted) return true;
    if (seen.has(file) || !existsSync(file)) continue;
    seen.add(file);
    for (const [, path] of readFileSync(file, 'utf8').matchAll(RELATIVE_IMPORT)) {
      open.push(`${resolve(dirname(file), path)}.ts`);
    }
  }
  return false;
}
