import {
  closeSync,
  fstatSync,
  fsyncSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { once } from 'node:events';
import { dirname, resolve } from 'node:path';
import { write as writeTo } from 'node:fs';
import { promisify } from 'node:util';
import { UsageError } from './command.js';

const BUFFER_CHARACTERS = 64 * 1024;

/** Text on its way to a file or to standard output. */
export interface TextOutput {
  write(text: string): Promise<void>;
  /** What was written is there, whole. */
  finish(): Promise<void>;
}

/** Standard output, in large pieces, no faster than its reader. */
export class StandardOutput implements TextOutput {
  private buffer = '';

  async write(text: string): Promise<void> {
    this.buffer += text;
    if (this.buffer.length >= BUFFER_CHARACTERS) await this.finish();
  }

  async finish(): Promise<void> {
    const text = this.buffer;
    this.buffer = '';
    if (text !== '' && !print(text)) await once(process.stdout, 'drain');
  }
}

const STANDARD_OUTPUT = 1;
let standardIsFile: boolean | undefined;

/**
 * Writes to standard output at once. Throws where that is a file and cannot be written.
 *
 * @returns false: more is to wait for `drain`
 */
export function print(text: string): boolean {
  standardIsFile ??= fstatSync(STANDARD_OUTPUT).isFile();
  if (!standardIsFile) return process.stdout.write(text);
  // The stream would take a file that is full for written where there was room for a part of the text.
  try {
    let bytes = Buffer.from(text);
    while (bytes.length > 0) bytes = bytes.subarray(writeSync(STANDARD_OUTPUT, bytes));
  } catch (error) {
    throw namedError('standard output', error);
  }
  return true;
}

/**
 * A name for what is written until it is whole. It lies beside the file, is removed however the process ends (unless it
 * is killed), and takes the file's name at the end.
 */
export class PartialFile {
  readonly path: string;
  private readonly target: string;
  private readonly remove = (): void => {
    for (const path of [this.path, `${this.path}.db`, `${this.path}.db.wal`]) rmSync(path, { force: true });
    rmSync(`${this.path}.db.tmp`, { force: true, recursive: true });
  };

  /** Throws {@link UsageError} where the file could not stand there. */
  constructor(private readonly out: string) {
    const target = resolve(out);
    if (statSync(dirname(target), { throwIfNoEntry: false })?.isDirectory() !== true) {
      throw new UsageError(`--out: there is no folder ${dirname(target)}`);
    }
    const there = statSync(target, { throwIfNoEntry: false });
    if (there?.isDirectory() === true || out.endsWith('/')) {
      throw new UsageError(`--out: ${target} is a folder`);
    }
    // The new file would take the place of the device or the pipe.
    if (there?.isFile() === false) {
      throw new UsageError(`--out: ${target} is no file that could be replaced; - is standard output`);
    }
    this.target = there === undefined ? target : realpathSync(target);
    this.path = `${this.target}.${process.pid}.partial`;
    process.on('exit', this.remove);
  }

  /** Does the writing; then the file takes its name. Else nothing of it is left. Errors say which file it was. */
  async complete<T>(write: () => Promise<T>): Promise<T> {
    try {
      const result = await write();
      syncFile(this.path);
      renameSync(this.path, this.target);
      return result;
    } catch (error) {
      throw namedError(`--out: ${this.out}`, error);
    } finally {
      this.remove();
      process.removeListener('exit', this.remove);
    }
  }
}

/** An error of a file, in a line that says what to do; any other one as it is. */
export function namedError(name: string, error: unknown): unknown {
  const message = error instanceof Error ? error.message : String(error);
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
  if (code === 'ENOSPC' || code === 'EDQUOT' || /no space left|ENOSPC/i.test(message)) {
    return new Error(`${name}: the disk is full; make room, or write to another disk`, { cause: error });
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new Error(`${name}: may not be written (${code})`, { cause: error });
  }
  if (code === 'EFBIG' || /file too large/i.test(message)) {
    return new Error(`${name}: larger than files may be here (EFBIG)`, { cause: error });
  }
  return error;
}

const writeAll = promisify(writeTo);

/** A file that is there whole or not at all. */
export async function writeFile<T>(out: string, work: (output: TextOutput) => Promise<T>): Promise<T> {
  const partial = new PartialFile(out);
  return partial.complete(async () => {
    const descriptor = openSync(partial.path, 'w');
    try {
      let buffer = '';
      const flush = async (): Promise<void> => {
        let bytes = Buffer.from(buffer);
        buffer = '';
        while (bytes.length > 0) {
          const { bytesWritten } = await writeAll(descriptor, bytes);
          bytes = bytes.subarray(bytesWritten);
        }
      };
      const output: TextOutput = {
        write: async (text) => {
          buffer += text;
          if (buffer.length >= BUFFER_CHARACTERS) await flush();
        },
        finish: flush,
      };
      const result = await work(output);
      await flush();
      return result;
    } finally {
      closeSync(descriptor);
    }
  });
}

function syncFile(path: string): void {
  const descriptor = openSync(path, 'r+');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
