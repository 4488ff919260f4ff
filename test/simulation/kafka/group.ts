import { type Actor, type Scheduled, type Scheduler } from '../kernel/scheduler.js';

/** The codes of Kafka's protocol that a group answers with. */
export const ERRORS = {
  OFFSET_OUT_OF_RANGE: 1,
  UNKNOWN_TOPIC_OR_PARTITION: 3,
  NOT_LEADER_FOR_PARTITION: 6,
  REQUEST_TIMED_OUT: 7,
  GROUP_COORDINATOR_NOT_AVAILABLE: 15,
  NOT_COORDINATOR_FOR_GROUP: 16,
  ILLEGAL_GENERATION: 22,
  UNKNOWN_MEMBER_ID: 25,
  REBALANCE_IN_PROGRESS: 27,
} as const;

export interface JoinRequest {
  readonly memberId: string;
  readonly sessionTimeout: number;
  readonly rebalanceTimeout: number;
  readonly groupProtocols: readonly { readonly name: string; readonly metadata: Buffer }[];
}

export interface Joined {
  readonly generationId: number;
  readonly leaderId: string;
  readonly memberId: string;
  readonly groupProtocol: string;
  readonly members: readonly { readonly memberId: string; readonly memberMetadata: Buffer }[];
}

export interface MemberAssignment {
  readonly memberId: string;
  readonly memberAssignment: Buffer;
}

/** Answers a request that may wait: with a result, or a code of Kafka's protocol. */
export type Reply<T> = (answer: { readonly value: T } | { readonly code: number }) => void;

export interface Committed {
  readonly offset: number;
  readonly metadata: string | null;
  /** Who committed it. */
  readonly memberId: string;
}

interface Member {
  readonly id: string;
  sessionTimeout: number;
  rebalanceTimeout: number;
  protocol: string;
  metadata: Buffer;
  /** Waits for the others to join. */
  joining: Reply<Joined> | null;
  /** Waits for the leader's assignment. */
  syncing: Reply<{ memberAssignment: Buffer }> | null;
  expiry: Scheduled | null;
}

const NOTHING = Buffer.alloc(0);

/** A consumer group as Kafka's coordinator has it: the classic protocol, with its states, generations and timeouts. */
export class ConsumerGroup {
  readonly offsets = new Map<string, Committed>();
  generation = 0;
  private state: 'empty' | 'preparing' | 'completing' | 'stable' = 'empty';
  private readonly members = new Map<string, Member>();
  private leaderId = '';
  private assignments = new Map<string, Buffer>();
  private deadline: Scheduled | null = null;
  private joined = 0;

  /**
   * @param firstDelayMs how long the first member of an empty group waits for others
   */
  constructor(
    readonly id: string,
    private readonly scheduler: Scheduler,
    private readonly actor: Actor,
    private readonly firstDelayMs: number,
  ) {}

  get memberCount(): number {
    return this.members.size;
  }

  join(request: JoinRequest, reply: Reply<Joined>): void {
    const [protocol] = request.groupProtocols;
    let member = this.members.get(request.memberId);
    if (request.memberId !== '' && member === undefined) return reply({ code: ERRORS.UNKNOWN_MEMBER_ID });
    const isNew = member === undefined;
    if (member === undefined) {
      const id = `${this.id}-m${++this.joined}`;
      member = { id, joining: null, syncing: null, expiry: null, ...termsOf(request) };
      this.members.set(id, member);
    } else {
      Object.assign(member, termsOf(request));
    }
    member.joining?.({ code: ERRORS.UNKNOWN_MEMBER_ID });
    member.joining = null;
    const isFollower = member.id !== this.leaderId;
    if (!isNew && (this.state === 'completing' || (this.state === 'stable' && isFollower))) {
      // Nothing has changed: it is told again what it may not have heard.
      this.touch(member);
      return reply({ value: this.joinedOf(member, protocol?.name ?? '') });
    }
    member.joining = reply;
    this.forget(member);
    if (this.state !== 'preparing') this.prepare();
    this.completeJoinWhereAll();
  }

  sync(
    memberId: string,
    generation: number,
    assignments: readonly MemberAssignment[],
    reply: Reply<{ memberAssignment: Buffer }>,
  ): void {
    const member = this.members.get(memberId);
    if (member === undefined || this.state === 'empty') return reply({ code: ERRORS.UNKNOWN_MEMBER_ID });
    if (generation !== this.generation) return reply({ code: ERRORS.ILLEGAL_GENERATION });
    if (this.state === 'preparing') return reply({ code: ERRORS.REBALANCE_IN_PROGRESS });
    this.touch(member);
    if (this.state === 'stable') return reply({ value: { memberAssignment: this.assignmentOf(memberId) } });
    member.syncing = reply;
    if (memberId !== this.leaderId) return;
    this.assignments = new Map(assignments.map((each) => [each.memberId, each.memberAssignment]));
    this.state = 'stable';
    for (const each of this.members.values()) {
      const waiting = each.syncing;
      each.syncing = null;
      if (waiting === null) continue;
      this.touch(each);
      waiting({ value: { memberAssignment: this.assignmentOf(each.id) } });
    }
  }

  heartbeat(memberId: string, generation: number): number {
    const member = this.members.get(memberId);
    if (member === undefined || this.state === 'empty') return ERRORS.UNKNOWN_MEMBER_ID;
    if (generation !== this.generation) return ERRORS.ILLEGAL_GENERATION;
    this.touch(member);
    return this.state === 'preparing' ? ERRORS.REBALANCE_IN_PROGRESS : 0;
  }

  leave(memberId: string): number {
    const member = this.members.get(memberId);
    if (member === undefined) return ERRORS.UNKNOWN_MEMBER_ID;
    this.remove(member);
    return 0;
  }

  /** 0: it may be committed. A commit is fenced by the member and its generation. */
  mayCommit(memberId: string, generation: number): number {
    if (generation < 0 && this.state === 'empty') return 0;
    const member = this.members.get(memberId);
    if (member === undefined) return ERRORS.UNKNOWN_MEMBER_ID;
    if (generation !== this.generation) return ERRORS.ILLEGAL_GENERATION;
    if (this.state === 'completing') return ERRORS.REBALANCE_IN_PROGRESS;
    this.touch(member);
    return 0;
  }

  /** A rebalance begins: who does not join again in time is out. */
  private prepare(): void {
    for (const member of this.members.values()) {
      member.syncing?.({ code: ERRORS.REBALANCE_IN_PROGRESS });
      member.syncing = null;
    }
    const isFirst = this.state === 'empty';
    this.state = 'preparing';
    const longest = Math.max(...[...this.members.values()].map((member) => member.rebalanceTimeout));
    if (this.deadline !== null) this.scheduler.cancel(this.deadline);
    const delay = isFirst ? this.firstDelayMs : longest;
    this.isFirstDelay = isFirst;
    this.deadline = this.scheduler.after(delay, this.actor, '', () => {
      this.isFirstDelay = false;
      this.completeJoin();
    });
  }

  private isFirstDelay = false;

  private completeJoinWhereAll(): void {
    if (this.state !== 'preparing' || this.isFirstDelay) return;
    if ([...this.members.values()].every(({ joining }) => joining !== null)) this.completeJoin();
  }

  private completeJoin(): void {
    if (this.deadline !== null) this.scheduler.cancel(this.deadline);
    this.deadline = null;
    for (const member of [...this.members.values()]) {
      if (member.joining === null) {
        this.forget(member);
        this.members.delete(member.id);
      }
    }
    this.generation++;
    this.assignments = new Map();
    const first = this.members.values().next();
    if (first.done === true) {
      this.state = 'empty';
      return;
    }
    this.state = 'completing';
    if (!this.members.has(this.leaderId)) this.leaderId = first.value.id;
    this.scheduler.note(
      `group ${this.id} generation ${this.generation}: ${[...this.members.keys()].join(' ')}`,
      this.actor,
    );
    for (const member of this.members.values()) {
      const { joining } = member;
      member.joining = null;
      this.touch(member);
      joining?.({ value: this.joinedOf(member, member.protocol) });
    }
  }

  private joinedOf(member: Member, groupProtocol: string): Joined {
    const isLeader = member.id === this.leaderId;
    return {
      generationId: this.generation,
      leaderId: this.leaderId,
      memberId: member.id,
      groupProtocol,
      members: isLeader
        ? [...this.members.values()].map(({ id, metadata }) => ({ memberId: id, memberMetadata: metadata }))
        : [],
    };
  }

  private assignmentOf(memberId: string): Buffer {
    return this.assignments.get(memberId) ?? NOTHING;
  }

  /** It lives: its session begins anew. */
  private touch(member: Member): void {
    this.forget(member);
    member.expiry = this.scheduler.after(member.sessionTimeout, this.actor, '', () => {
      this.scheduler.note(`group ${this.id}: session of ${member.id} is over`, this.actor);
      this.remove(member);
    });
  }

  private forget(member: Member): void {
    if (member.expiry !== null) this.scheduler.cancel(member.expiry);
    member.expiry = null;
  }

  private remove(member: Member): void {
    this.forget(member);
    member.joining?.({ code: ERRORS.UNKNOWN_MEMBER_ID });
    member.syncing?.({ code: ERRORS.UNKNOWN_MEMBER_ID });
    this.members.delete(member.id);
    if (this.state === 'preparing') {
      if (this.members.size === 0) this.completeJoin();
      else this.completeJoinWhereAll();
    } else if (this.members.size === 0) {
      this.state = 'empty';
      this.generation++;
    } else {
      this.prepare();
      this.completeJoinWhereAll();
    }
  }
}

function termsOf({
  sessionTimeout,
  rebalanceTimeout,
  groupProtocols: [protocol],
}: JoinRequest): Pick<Member, 'sessionTimeout' | 'rebalanceTimeout' | 'protocol' | 'metadata'> {
  return {
    sessionTimeout,
    rebalanceTimeout,
    protocol: protocol?.name ?? '',
    metadata: protocol?.metadata ?? NOTHING,
  };
}
