import { type Answer, type AnswerChannel } from './documents.js';

interface Waiter {
  readonly channel: AnswerChannel;
  readonly matches: (answer: Answer) => boolean;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

/** What one participant has received and not yet looked at. */
export class Mailbox {
  private readonly letters: { readonly channel: AnswerChannel; readonly answer: Answer }[] = [];
  private readonly waiters = new Set<Waiter>();
  private failure: Error | undefined;

  /** @param owner for the message of an error */
  constructor(private readonly owner: string) {}

  put(channel: AnswerChannel, answer: Answer): void {
    for (const waiter of this.waiters) {
      if (waiter.channel !== channel || !waiter.matches(answer)) continue;
      this.waiters.delete(waiter);
      waiter.resolve(answer);
      return;
    }
    this.letters.push({ channel, answer });
  }

  /** Nothing more will come: fails everyone who waits, now and later. */
  fail(error: Error): void {
    this.failure ??= error;
    for (const waiter of this.waiters) waiter.reject(this.failure);
    this.waiters.clear();
  }

  /**
   * The first matching letter, now or within the time.
   *
   * @param what names the message, for the error
   * @throws where it does not come, in one line
   */
  async take(
    channel: AnswerChannel,
    what: string,
    matches: (answer: Answer) => boolean,
    timeoutMs: number,
  ): Promise<Answer> {
    const index = this.letters.findIndex((letter) => letter.channel === channel && matches(letter.answer));
    const [letter] = index === -1 ? [] : this.letters.splice(index, 1);
    if (letter !== undefined) return letter.answer;
    if (this.failure !== undefined) throw this.failure;
    return new Promise<Answer>((resolve, reject) => {
      const waiter: Waiter = {
        channel,
        matches,
        resolve: (answer) => {
          clearTimeout(timer);
          resolve(answer);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
      const timer = setTimeout(() => {
        this.waiters.delete(waiter);
        reject(new Error(`${this.owner} waited ${timeoutMs} ms for ${what}, and it did not come`));
      }, timeoutMs);
      this.waiters.add(waiter);
    });
  }
}
