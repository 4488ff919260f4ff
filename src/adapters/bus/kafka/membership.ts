import type { Cluster, ConsumerConfig } from 'kafkajs';
import { consumerGroupPrototype } from './kafkajs-internals.js';

/**
 * How long a broker may wait for something to come. What comes is answered at once; but between two fetches alone kafkajs
 * gives signs of life, and hears that its group rebalances, and then it waits for those from the other brokers.
 */
const MAX_WAIT_MS = 1_500;

/** How often a member of a group fetches where nothing comes, with a sign of life after each fetch. */
export function rhythmOf(
  sessionTimeoutMs: number,
): Pick<ConsumerConfig, 'maxWaitTimeInMs' | 'heartbeatInterval'> {
  const waitMs = Math.max(2, Math.min(MAX_WAIT_MS, Math.floor(sessionTimeoutMs / 3)));
  return { maxWaitTimeInMs: waitMs, heartbeatInterval: Math.floor(waitMs * 0.9) };
}

/*
 * A consumer that could not leave its group, since the broker was away, stays a member of it until its session times
 * out, and the group waits for it before it gives its partitions to anybody: half a minute in which nothing is
 * processed, though the broker is back. kafkajs makes a new member with every start; this lets the next consumer of
 * the same process come back as the member it was. Where the broker has forgotten it, kafkajs joins as a new one.
 *
 * And kafkajs 2.2.4 does not tell of every join, nor that one failed. Where the answer to its second half is lost (the
 * assignment), it reads on in the new generation as if nothing were, while the group waits for it until the rebalance
 * time-out has passed.
 */

/** What becomes of a consumer as a member of its group. */
export interface Membership {
  /** The member that it is to come back as; undefined: a new one. */
  readonly memberId: string | undefined;
  /** The group is being joined, until `ended` is called for it. Joins may overlap: each node's fetcher may begin one. */
  began(): void;
  /** It is joined, after kafkajs has said so by its event, or it failed. */
  ended(): void;
  /** @param memberId the member that the group may now wait for; null: none is known */
  failed(error: unknown, memberId: string | null): void;
}

const memberships = new WeakMap<object, Membership>();
let isInstalled = false;

/** Takes part in the joins of the consumer of this cluster object. Call it before the consumer runs. */
export function takePart(cluster: Cluster, membership: Membership): void {
  install();
  memberships.set(cluster, membership);
}

function install(): void {
  if (isInstalled) return;
  isInstalled = true;
  const { connect, joinAndSync } = consumerGroupPrototype;
  // Once for each consumer: kafkajs itself forgets the name when the broker does not know it.
  consumerGroupPrototype.connect = async function () {
    this.memberId ??= memberships.get(this.cluster)?.memberId ?? null;
    await connect.call(this);
  };
  consumerGroupPrototype.joinAndSync = async function () {
    const membership = memberships.get(this.cluster);
    membership?.began();
    try {
      await joinAndSync.call(this);
    } catch (error) {
      membership?.failed(error, this.memberId);
      throw error;
    } finally {
      membership?.ended();
    }
  };
}
