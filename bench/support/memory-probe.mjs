/**
 * Loaded before the built service (`node --expose-gc --import`): collects garbage when it is asked by its channel, and
 * answers what is left. The service itself knows nothing of it. Threads load it, too.
 */
import { getHeapSpaceStatistics } from 'node:v8';
import { isMainThread } from 'node:worker_threads';

if (isMainThread && process.channel !== undefined) {
  process.on('message', () => {
    for (let n = 0; n < 3; n++) globalThis.gc();
    const { rss, heapUsed, external } = process.memoryUsage();
    const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
    process.send({ resident: rss, young: young.physical_space_size, live: heapUsed + external });
  });
  process.channel.unref();
}
