import kafkajs from 'kafkajs';
import { Worker } from 'node:worker_threads';
import { type Deferred, deferred } from '../../../application/timing.js';
import { decompress, TooMuch } from './codecs.js';
import type { Unfolded, ToUnfold } from './unfolding-thread.js';

/** The most bytes that a batch may unfold to. */
export const MAX_UNFOLDED_BYTES = 64 * 1024 * 1024;
/** What is so small, before and after, takes about a millisecond: less than a thread's answer under load. */
const SMALL_BYTES = 16 * 1024;
const SMALL_UNFOLDED_BYTES = 128 * 1024;
/** A batch that takes longer is not read. */
const LIMIT_MS = 20_000;

interface Job {
  readonly asked: ToUnfold;
  readonly answer: Deferred<Buffer>;
}

/** Unfolds compressed batches in a thread of its own, which runs from the first large one on. */
export class Unfolding {
  private worker: Worker | null = null;
  private isReady = false;
  private readonly jobs: Job[] = [];
  private timer: NodeJS.Timeout | undefined;

  /** @param entry the thread's program; default: the one beside this module */
  constructor(private readonly entry: URL = new URL('./unfolding-thread.js', import.meta.url)) {}

  /** As {@link decompress}, but a rejection in place of what that throws. Blocks nobody. */
  async unfold(codec: number, data: Buffer, maxBytes: number): Promise<Buffer> {
    if (data.length <= SMALL_BYTES) {
      const small = Math.min(SMALL_UNFOLDED_BYTES, maxBytes);
      try {
        return decompress(codec, data, small);
      } catch (error) {
        if (!(error instanceof TooMuch) || small === maxBytes) throw error;
      }
    }
    const answer = deferred<Buffer>();
    // A copy: the data is a part of a larger answer.
    this.jobs.push({ asked: { codec, data: Uint8Array.from(data), maxBytes }, answer });
    if (this.jobs.length === 1) this.next();
    return answer.promise;
  }

  private next(): void {
    const [job] = this.jobs;
    if (job === undefined) {
      // The process may end while nothing is asked.
      this.worker?.unref();
      return;
    }
    this.worker ??= this.start();
    this.worker.ref();
    this.worker.postMessage(job.asked);
    this.timer = setTimeout(() => {
      this.abandon();
      this.settle(({ answer }) =>
        answer.reject(new Error(`The batch takes longer to unfold than ${LIMIT_MS} ms`)),
      );
    }, LIMIT_MS);
  }

  private start(): Worker {
    const worker = new Worker(this.entry, { name: 'unfolding' });
    this.isReady = false;
    let failure: Error | undefined;
    worker.on('error', (error) => (failure = error));
    worker.on('message', (answer: Unfolded | null) => {
      if (answer === null) this.isReady = true;
      else this.settle((job) => answered(job, answer));
    });
    worker.once('exit', (code) => {
      if (this.worker !== worker) return;
      this.worker = null;
      const { isReady } = this;
      this.settle((job) => {
        if (isReady) job.answer.reject(failure ?? new Error(`The thread ended with code ${code}`));
        else unfoldHere(job);
      });
    });
    return worker;
  }

  private abandon(): void {
    const { worker } = this;
    this.worker = null;
    void worker?.terminate();
  }

  /** Settles the first job, and goes on to the next one. */
  private settle(act: (job: Job) => void): void {
    clearTimeout(this.timer);
    const job = this.jobs.shift();
    if (job !== undefined) act(job);
    this.next();
  }
}

/** The system may have no thread to give. It takes as long, and holds up all else. */
function unfoldHere({ asked: { codec, data, maxBytes }, answer }: Job): void {
  try {
    answer.resolve(decompress(codec, Buffer.from(data.buffer, data.byteOffset, data.length), maxBytes));
  } catch (error) {
    answer.reject(error);
  }
}

function answered({ asked, answer }: Job, unfolded: Unfolded): void {
  if (unfolded.ok) {
    const { data } = unfolded;
    answer.resolve(Buffer.from(data.buffer, data.byteOffset, data.length));
  } else {
    answer.reject(unfolded.isTooMuch ? new TooMuch(asked.maxBytes) : new Error(unfolded.message));
  }
}

/** The one of this process: all clients' batches, one after the other. */
export const unfolding = new Unfolding();

/** For the answers of old brokers, which kafkajs reads itself. May be called any number of times. */
export function installCodecs(): void {
  const { CompressionTypes, CompressionCodecs } = kafkajs;
  const codecs: Record<number, () => object> = CompressionCodecs;
  for (const type of [CompressionTypes.Snappy, CompressionTypes.LZ4, CompressionTypes.ZSTD]) {
    const codec = {
      compress: async () => {
        throw new Error('Only reading is supported in this codec');
      },
      decompress: (data: Buffer) => unfolding.unfold(type, data, MAX_UNFOLDED_BYTES),
    };
    codecs[type] = () => codec;
  }
}
