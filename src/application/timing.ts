/** Resolves after so many milliseconds, or as soon as the signal aborts; never rejects. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const finish = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', finish);
      resolve();
    };
    const timer = setTimeout(finish, milliseconds);
    signal?.addEventListener('abort', finish, { once: true });
  });
}

/** True when the work settled (either way) in time. The work itself goes on; its later rejection is swallowed. */
export async function settlesWithin(work: Promise<unknown>, milliseconds: number): Promise<boolean> {
  const done = new AbortController();
  let settled = false;
  const observed = work.then(
    () => undefined,
    () => undefined,
  );
  await Promise.race([
    observed.then(() => {
      settled = true;
      done.abort();
    }),
    pause(milliseconds, done.signal),
  ]);
  return settled;
}

/** The promise with its handles outside. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

export function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<T>((accept, refuse) => {
    resolve = accept;
    reject = refuse;
  });
  return { promise, resolve, reject };
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
