import { Buffer } from 'node:buffer';
import { parentPort } from 'node:worker_threads';

/** A thread that ends, as for want of memory, at data that begins so. */
parentPort.postMessage(null);
parentPort.on('message', ({ data }) => {
  if (Buffer.from(data).toString('latin1', 0, 3) === 'die') throw new Error('out of memory');
  parentPort.postMessage({ ok: true, data: Uint8Array.from(Buffer.from('unfolded')) });
});
