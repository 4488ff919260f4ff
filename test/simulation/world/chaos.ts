import { type Chaos } from '../plan.js';
import { Random } from '../kernel/random.js';
import { type Instance } from './instance.js';
import { type World } from './world.js';

/** Lets the trouble of the plan come at random moments while commands arrive. */
export function scheduleChaos(world: World, endMs: number): void {
  const { scheduler, plan } = world;
  const random = new Random(plan.seed, 5);
  const { cluster } = world.kafka;
  const living = (): Instance | undefined => {
    const all = world.living();
    return all.length === 0 ? undefined : random.pick(all);
  };
  const away = (server: { isAway: boolean }, name: string, ms: number): void => {
    server.isAway = true;
    scheduler.note(`${name} is away`);
    scheduler.after(ms, scheduler.world, `${name} is back`, () => (server.isAway = false));
  };
  const trouble: Record<keyof Chaos, () => void> = {
    crashes: () => {
      const instance = living();
      if (instance !== undefined) world.crash(instance);
    },
    stops: () => {
      const instance = living();
      if (instance !== undefined) world.stop(instance);
    },
    freezes: () => {
      const actor = living()?.actor;
      if (actor === undefined) return;
      const ms = random.exponential(random.pick([500, 1.5 * plan.sessionTimeoutMs]));
      scheduler.note(`stands still for ${ms.toFixed(0)} ms`, actor);
      actor.frozenUntilUs = Math.max(actor.frozenUntilUs, scheduler.nowUs + Math.round(ms * 1000));
      world.rights.lose(actor, random.exponential(100));
    },
    cuts: () => {
      const actor = living()?.actor;
      const all = random.chance(0.5);
      world.kafka.cut(({ client }) => client === actor && (all || random.chance(0.5)), 'cut');
    },
    stalls: () => {
      const actor = living()?.actor;
      const ms = random.exponential(plan.sessionTimeoutMs);
      if (actor === undefined) return;
      scheduler.note(`its lines to Kafka are silent for ${ms.toFixed(0)} ms`, actor);
      world.kafka.stall(actor, ms);
    },
    nodesDown: () => {
      const node = random.pick(cluster.nodes);
      node.isUp = false;
      scheduler.note('is down', node.actor);
      world.kafka.cut((connection) => connection.node === node, 'the node is down');
      scheduler.after(
        random.exponential(random.pick([500, 6000])),
        node.actor,
        'is up',
        () => (node.isUp = true),
      );
    },
    leadersMoved: () => {
      const { id } = random.pick(cluster.nodes);
      const all = random.chance(0.5);
      for (const { partitions } of cluster.topics.values()) {
        for (const log of partitions)
          if (log.leader === id && (all || random.chance(0.3))) cluster.moveLeader(log);
      }
    },
    storeAway: () => away(world.storage.server, 'the event store', random.exponential(2000)),
    readModelAway: () => away(world.readModel.server, 'the read model', random.exponential(2000)),
    rightsLost: () => {
      const actor = living()?.actor;
      if (actor !== undefined) world.rights.lose(actor, random.exponential(500));
    },
    rebuilds: () => living()?.rebuild(),
  };
  for (const kind of Object.keys(trouble) as (keyof Chaos)[]) {
    const mean = plan.chaos[kind];
    if (mean === 0) continue;
    for (let at = random.exponential(endMs / mean); at < endMs; at += random.exponential(endMs / mean)) {
      scheduler.after(at, scheduler.world, '', trouble[kind]);
    }
  }
}
