import { openEventStore } from '../../src/open-event-store.js';
import { copyEvents } from '../../src/application/copy-events.js';

/**
 * A copy that is killed on the way: `node --import tsx copy-events.killed.ts <from dir> <to dir> <appends> <batch>`
 * ends by SIGKILL in the moment in which the append of that number has been called and not answered.
 */
const [fromDir = '', toDir = '', appends = '0', batchCount = '0'] = process.argv.slice(2);
const source = openEventStore({ kind: 'sqlite', dataDir: fromDir });
const target = openEventStore({ kind: 'sqlite', dataDir: toDir });
const append = target.append.bind(target);
let left = Number(appends);
target.append = (streams) => {
  const result = append(streams);
  if (--left === 0) process.kill(process.pid, 'SIGKILL');
  return result;
};
await copyEvents(source, target, { batchCount: Number(batchCount) });
throw new Error('the copy came to its end');
