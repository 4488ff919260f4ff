import { type Random } from './random.js';
import { type Trace } from './trace.js';

/** Kept before virtual time takes their place. */
const realImmediate = setImmediate;

/** Something that acts by itself: an instance of the service, a broker, the world. What it has begun ends with it. */
export class Actor {
  isDead = false;
  /** Nothing of it goes on before this virtual time: the machine stands still, and does not know. */
  frozenUntilUs = 0;
  /** How far its clock is from the right one. */
  clockSkewMs = 0;

  constructor(readonly name: string) {}
}

/** Something that is going to happen. */
export interface Scheduled {
  timeUs: number;
  /** Decides between things of the same time. */
  readonly tie: number;
  readonly seq: number;
  readonly actor: Actor;
  readonly label: string;
  run: (() => void) | null;
}

/**
 * The only thing that makes anything happen: one event after the other, by virtual time. After each of them all
 * promises that it has settled are followed to their end, so that nothing is under way between two events but what is
 * scheduled.
 */
export class Scheduler {
  nowUs = 0;
  /** Whose event runs, and so who begins whatever is begun now. */
  current: Actor;
  events = 0;
  private heap: Scheduled[] = [];
  private seq = 0;

  constructor(
    private readonly random: Random,
    private readonly trace: Trace,
    readonly world: Actor = new Actor('world'),
  ) {
    this.current = world;
  }

  get nowMs(): number {
    return this.nowUs / 1000;
  }

  /** @param label what the trace says when it happens; empty: nothing */
  after(delayMs: number, actor: Actor, label: string, run: () => void): Scheduled {
    const event: Scheduled = {
      timeUs: this.nowUs + Math.max(0, Math.round(delayMs * 1000)),
      tie: this.random.next(),
      seq: this.seq++,
      actor,
      label,
      run,
    };
    this.push(event);
    return event;
  }

  cancel(event: Scheduled): void {
    event.run = null;
  }

  note(what: string, who: Actor = this.current): void {
    this.trace.note(this.nowUs, who.name, what);
  }

  /** Runs until it is done, or nothing is left to happen, or virtual time is over. Rejects with what an event throws. */
  run(isDone: () => boolean, untilMs: number): Promise<'done' | 'idle' | 'late'> {
    return new Promise((resolve, reject) => {
      const turn = (): void => {
        try {
          if (isDone()) return resolve('done');
          const event = this.pop();
          if (event === undefined) return resolve('idle');
          if (event.timeUs > untilMs * 1000) {
            this.push(event);
            return resolve('late');
          }
          this.happen(event);
        } catch (error) {
          this.current = this.world;
          return reject(error instanceof Error ? error : new Error(String(error)));
        }
        realImmediate(turn);
      };
      realImmediate(turn);
    });
  }

  /** Lets go of everything. */
  clear(): void {
    this.heap = [];
  }

  private happen(event: Scheduled): void {
    const { actor, run } = event;
    if (run === null || actor.isDead) return;
    if (actor.frozenUntilUs > event.timeUs) {
      event.timeUs = actor.frozenUntilUs;
      this.push(event);
      return;
    }
    this.nowUs = event.timeUs;
    this.current = actor;
    this.events++;
    event.run = null;
    if (event.label !== '') this.note(event.label);
    run();
  }

  private push(event: Scheduled): void {
    const { heap } = this;
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent] as Scheduled;
      if (!isBefore(event, above)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = event;
  }

  private pop(): Scheduled | undefined {
    const { heap } = this;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Scheduled, heap[child] as Scheduled))
        child++;
      const below = heap[child] as Scheduled;
      if (!isBefore(below, last)) break;
      heap[index] = below;
      index = child;
    }
    heap[index] = last;
    return first;
  }
}

function isBefore(a: Scheduled, b: Scheduled): boolean {
  if (a.timeUs !== b.timeUs) return a.timeUs < b.timeUs;
  return a.tie !== b.tie ? a.tie < b.tie : a.seq < b.seq;
}
