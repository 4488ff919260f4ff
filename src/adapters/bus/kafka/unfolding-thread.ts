import { parentPort } from 'node:worker_threads';
import { decompress, TooMuch } from './codecs.js';

/** A batch's compressed records. */
export interface ToUnfold {
  readonly codec: number;
  readonly data: Uint8Array;
  readonly maxBytes: number;
}

export type Unfolded =
  | { readonly ok: true; readonly data: Uint8Array<ArrayBuffer> }
  | { readonly ok: false; readonly isTooMuch: boolean; readonly message: string };

// It runs.
parentPort?.postMessage(null);

/** The program of a thread that unfolds one batch after the other, and answers in their order. */
parentPort?.on('message', ({ codec, data, maxBytes }: ToUnfold) => {
  let answer: Unfolded;
  try {
    const unfolded = decompress(codec, Buffer.from(data.buffer, data.byteOffset, data.length), maxBytes);
    // Memory of its own can be handed over; small buffers share theirs.
    const isOwn = unfolded.byteLength === unfolded.buffer.byteLength;
    const own = isOwn ? new Uint8Array(unfolded.buffer as ArrayBuffer) : Uint8Array.from(unfolded);
    answer = { ok: true, data: own };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    answer = { ok: false, isTooMuch: error instanceof TooMuch, message };
  }
  parentPort?.postMessage(answer, answer.ok ? [answer.data.buffer] : []);
});
