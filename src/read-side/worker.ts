import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { type ThreadData } from './messages.js';

/** The program of every thread of the read side. Each role loads what it needs, and nothing else. */
async function run(port: MessagePort, data: ThreadData): Promise<void> {
  switch (data.role) {
    case 'projector':
      return (await import('./projector.js')).runProjector(port, data);
    case 'reader':
      return (await import('./reader.js')).runReader(port, data);
  }
}

if (parentPort === null) throw new Error('This is the program of a thread, not of a process');
await run(parentPort, workerData as ThreadData);
