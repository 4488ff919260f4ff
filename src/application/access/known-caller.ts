import { type Authentication } from '../ports/authenticator.js';
import { type Caller } from './rules.js';

/** How often it is asked again. With a file of keys that is read after 2 s, and clocks that differ by 5 s, within 15 s. */
const ASK_MS = 8000;

/** By its very credentials: an API key, a token, a certificate. */
export type Ask = () => Authentication | Promise<Authentication>;

/** Somebody who is known, and by whom it can be asked whether it still is. */
export class KnownCaller {
  constructor(
    readonly caller: Caller,
    private readonly ask: Ask,
  ) {}

  /**
   * Asks again from time to time whether it would be let in now, as the very caller that it was, and calls `onEnd` when
   * it would not. Where that cannot be told, it is still so.
   *
   * @returns ends the asking
   */
  watch(onEnd: () => void): () => void {
    let isWatched = true;
    const end = (): void => {
      isWatched = false;
      clearInterval(timer);
    };
    const timer = setInterval(() => {
      void this.isStillKnown().then((isKnown) => {
        if (isKnown || !isWatched) return;
        end();
        onEnd();
      });
    }, ASK_MS);
    return end;
  }

  private async isStillKnown(): Promise<boolean> {
    const again = await this.ask();
    return again.ok ? isSame(again.caller, this.caller) : again.reason === 'unavailable';
  }
}

/** Whether they are one, and may do the same. */
export function isSame(one: Caller, other: Caller): boolean {
  return identityOf(one) === identityOf(other);
}

/** Of who may do the same as one and the same. A device is one by whatever credentials, whose names are for logs. */
export function identityOf({ id, role, devices }: Caller): string {
  return JSON.stringify([role, role === 'device' ? null : id, devices]);
}
