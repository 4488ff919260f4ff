import type { Admin } from 'kafkajs';
import { decideStart, decodeLog, type LogPlace, type Start } from './log-lives.js';
import { fetchTopicIds } from './topic-ids.js';

/** Topic → partitions. */
export type Assignment = Readonly<Record<string, readonly number[]>>;

export interface Position {
  log: string;
  /** The next offset to take. */
  next: number;
}

export interface Placement extends Start {
  readonly topic: string;
  readonly partition: number;
  /** What the group has committed; null: nothing, or what kafkajs put there to mean nothing. */
  readonly committed: number | null;
}

/** How far this process is in each partition it has, or had, and in which life of its log. */
export class Positions {
  private readonly byPartition = new Map<string, Position>();
  private readonly topicIds = new Map<string, string | null>();

  get(topic: string, partition: number): Position | undefined {
    return this.byPartition.get(keyOf(topic, partition));
  }

  /** Everything before `next` is processed in this life of the log; nothing is said of another one. */
  advance(topic: string, partition: number, { log, next }: Position): void {
    const position = this.get(topic, partition);
    if (position?.log === log) position.next = next;
  }

  /** Finds where to start in each assigned partition. Rejects when a topic is missing or a broker does not answer. */
  async place(admin: Admin, groupId: string, assignment: Assignment): Promise<Placement[]> {
    const topics = Object.keys(assignment).filter((topic) => (assignment[topic]?.length ?? 0) > 0);
    if (topics.length === 0) return [];
    const [ids, committed, bounds] = await Promise.all([
      fetchTopicIds(admin, topics),
      admin.fetchOffsets({ groupId, topics }),
      Promise.all(topics.map(async (topic) => ({ topic, partitions: await admin.fetchTopicOffsets(topic) }))),
    ]);
    for (const [topic, id] of ids) this.topicIds.set(topic, id);
    const placements: Placement[] = [];
    for (const topic of topics) {
      const committedHere = committed.find((each) => each.topic === topic)?.partitions ?? [];
      const boundsHere = bounds.find((each) => each.topic === topic)?.partitions ?? [];
      for (const partition of assignment[topic] ?? []) {
        const bound = boundsHere.find((each) => each.partition === partition);
        if (bound === undefined) throw new Error(`No offsets of ${topic}[${partition}]`);
        const commit = committedHere.find((each) => each.partition === partition);
        const place = commit === undefined ? null : placeOf(Number(commit.offset), commit.metadata);
        placements.push({
          ...this.start(
            topic,
            partition,
            Number(bound.low),
            Number(bound.high),
            ids.get(topic) ?? null,
            place,
          ),
          topic,
          partition,
          committed: place?.offset ?? null,
        });
      }
    }
    return placements;
  }

  private start(
    topic: string,
    partition: number,
    low: number,
    high: number,
    topicId: string | null,
    committed: LogPlace | null,
  ): Start {
    const key = keyOf(topic, partition);
    const position = this.byPartition.get(key);
    const remembered = position === undefined ? null : { offset: position.next, log: position.log };
    const start = decideStart({ low, high, topicId, committed, remembered });
    this.byPartition.set(key, { log: start.log, next: start.offset });
    return start;
  }

  /** Whether a topic has the id that it had when its partitions were placed; true for one that was not placed. */
  isSameLife(topic: string, id: string | null): boolean {
    return !this.topicIds.has(topic) || this.topicIds.get(topic) === id;
  }
}

function keyOf(topic: string, partition: number): string {
  return `${partition}|${topic}`;
}

/** kafkajs commits −2 and −1, which stand for earliest and latest, when an offset is out of range. */
function placeOf(offset: number, metadata: string | null): LogPlace | null {
  return offset < 0 ? null : { offset, log: decodeLog(metadata) };
}
