import { type Latency } from './kafka/connection.js';
import { type BrokerFaults } from './kafka/cluster.js';
import { Random } from './kernel/random.js';
import { type CallFaults } from './world/line.js';

/** What stands around the use cases. */
export type Topology = 'kafka+eventstoredb' | 'kafka+sqlite' | 'embedded';

/** What happens to a whole process, line or node; how many times in a run, on the average. */
export interface Chaos {
  readonly crashes: number;
  readonly stops: number;
  /** A process stands still, and goes on as if nothing had been: a zombie, where it is long enough. */
  readonly freezes: number;
  readonly cuts: number;
  readonly stalls: number;
  readonly nodesDown: number;
  /** All that one node leads is led by others from then on. */
  readonly leadersMoved: number;
  readonly storeAway: number;
  readonly readModelAway: number;
  readonly rightsLost: number;
  readonly rebuilds: number;
}

/** All that a seed decides before anything happens. */
export interface Plan {
  readonly seed: number;
  readonly commandCount: number;
  readonly topology: Topology;
  readonly instanceCount: number;
  /** The first instance has a consumer group of its own: all commands are processed twice, by two that know nothing of each other. */
  readonly hasRivals: boolean;
  readonly nodeCount: number;
  readonly partitionCount: number;
  readonly deviceCount: number;
  /** Commands arrive within this time, in virtual milliseconds. */
  readonly loadMs: number;
  /** How many arrive at once. */
  readonly burstCount: number;
  readonly sessionTimeoutMs: number;
  readonly maxFetchCount: number;
  readonly maxBatchCount: number;
  readonly stepCount: number;
  readonly cacheBytes: number;
  readonly snapshotEveryCount: number | null;
  readonly pageCount: number;
  readonly unchangedUpdates: 'record' | 'skip';
  readonly publishDocuments: boolean;
  readonly maxStateBytes: number;
  readonly maxAppendBytes: number | undefined;
  readonly hasDeletes: boolean;
  readonly hasGets: boolean;
  /** The share of commands that come by REST. */
  readonly restShare: number;
  readonly projectBatchCount: number;
  readonly skewMs: number;
  readonly kafkaLatency: Latency;
  readonly storeLatency: Latency;
  readonly brokerFaults: BrokerFaults;
  readonly storeFaults: CallFaults;
  readonly readModelFaults: CallFaults;
  readonly snapshotFaults: CallFaults;
  readonly chaos: Chaos;
}

/**
 * Each seed turns some kinds of trouble on and leaves others out, and draws how much of each: a run with all of them at
 * once would hide what takes a long time without the others.
 */
export function planOf(seed: number, commandCount: number): Plan {
  const random = new Random(seed, 1);
  const topology: Topology = random.chance(0.75)
    ? 'kafka+eventstoredb'
    : random.chance(0.5)
      ? 'kafka+sqlite'
      : 'embedded';
  const isAlone = topology !== 'kafka+eventstoredb';
  const isCalm = random.chance(0.05);
  const some = (share: number, most: number): number =>
    !isCalm && random.chance(share) ? random.next() * most : 0;
  const callFaults = (share: number, most: number): CallFaults => ({
    refused: some(share, most),
    answerLost: some(share, most),
    lost: some(share, most),
    late: some(share, most),
  });
  const latency = (): Latency => ({ mean: random.pick([0.3, 1, 5, 20]), slow: some(0.4, 0.05) });
  const isEmbedded = topology === 'embedded';
  const instanceCount = isAlone ? 1 : random.between(1, 3);
  // Every command is looked for in its device's whole history then: the dearest runs of all, and many devices make them cheap.
  const hasRivals = instanceCount > 1 && random.chance(0.25);
  return {
    seed,
    commandCount,
    topology,
    instanceCount,
    hasRivals,
    nodeCount: random.between(1, 2),
    partitionCount: random.between(1, 4),
    deviceCount: random.pick(hasRivals ? [2, 4, 8, 16] : [1, 2, 4, 8, 16]),
    loadMs: random.pick([500, 3000, 10_000, 20_000]),
    burstCount: random.pick([1, 3, 10, 40]),
    sessionTimeoutMs: random.pick([3000, 6000, 10_000]),
    maxFetchCount: random.pick([3, 20, 200]),
    maxBatchCount: random.pick([1, 5, 50, 500]),
    stepCount: random.pick([1, 3, 20, 250]),
    cacheBytes: random.pick([0, 4000, 1 << 24, 1 << 24, 1 << 24, 1 << 24]),
    snapshotEveryCount: random.pick([null, 1, 2, 5, 20]),
    pageCount: random.pick([15, 60, 200]),
    unchangedUpdates: random.chance(0.25) ? 'skip' : 'record',
    publishDocuments: random.chance(0.4),
    maxStateBytes: random.pick([32_768, 32_768, 150]),
    maxAppendBytes: random.pick([undefined, undefined, 1200]),
    hasDeletes: random.chance(0.5),
    hasGets: random.chance(0.4),
    restShare: isEmbedded ? 1 : random.pick([0, 0, 0.2]),
    projectBatchCount: random.pick([3, 20, 200]),
    skewMs: some(0.5, 3000),
    kafkaLatency: latency(),
    storeLatency: latency(),
    brokerFaults: {
      produceRefused: some(0.4, random.pick([0.1, 0.6, 1])),
      produceUnknown: some(0.4, 0.1),
      commitRefused: some(0.3, 0.1),
    },
    storeFaults: callFaults(0.5, 0.12),
    readModelFaults: callFaults(0.4, 0.1),
    snapshotFaults: callFaults(0.3, 0.3),
    chaos: {
      crashes: some(0.6, 5),
      stops: some(0.3, 3),
      freezes: some(0.5, 4),
      cuts: isEmbedded ? 0 : some(0.5, 6),
      stalls: isEmbedded ? 0 : some(0.3, 4),
      nodesDown: isEmbedded ? 0 : some(0.3, 2),
      leadersMoved: isEmbedded ? 0 : some(0.4, 8),
      storeAway: some(0.4, 2),
      readModelAway: some(0.3, 2),
      rightsLost: isAlone ? 0 : some(0.3, 3),
      rebuilds: some(0.3, 2),
    },
  };
}
