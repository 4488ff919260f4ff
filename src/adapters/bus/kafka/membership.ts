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
 */

const members = new WeakMap<object, string>();
let isInstalled = false;

/** Makes the consumer of this cluster object join as the given member. Call it before the consumer runs. */
export function rejoinAs(cluster: Cluster, memberId: string): void {
  install();
  members.set(cluster, memberId);
}

function install(): void {
  if (isInstalled) return;
  isInstalled = true;
  const original = consumerGroupPrototype.connect;
  consumerGroupPrototype.connect = async function () {
    this.memberId ??= members.get(this.cluster) ?? null;
    // Once only: kafkajs itself forgets the name when the broker does not know it.
    members.delete(this.cluster);
    await original.call(this);
  };
}
