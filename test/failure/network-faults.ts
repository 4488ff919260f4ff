import { type Fault } from '../support/fault-run.js';
import { bothWays, type FaultProxy, type Faults } from '../support/fault-proxy.js';

/** A way in which a network fails. */
export interface FaultKind {
  readonly name: string;
  /** Nothing gets through while it lasts, so that the service must say so. */
  readonly isTotal: boolean;
  readonly on: (proxies: readonly FaultProxy[]) => Fault;
}

async function healAll(proxies: readonly FaultProxy[]): Promise<void> {
  await Promise.all(proxies.map((proxy) => proxy.heal()));
}

function lasting(faults: Faults, lastsMs: number): FaultKind['on'] {
  return (proxies) => ({
    begin: () => proxies.forEach((proxy) => (proxy.faults = faults)),
    lastsMs,
    end: () => healAll(proxies),
  });
}

export const SLOW: FaultKind = {
  name: 'slow, and by turns slower',
  isTotal: false,
  on: lasting(bothWays({ latencyMs: 50, jitterMs: 150 }), 4_000),
};

export const DRIP: FaultKind = {
  name: 'a slow drip',
  isTotal: false,
  on: lasting(bothWays({ bytesPerSecond: 20_000 }), 5_000),
};

export const HELD: FaultKind = {
  name: 'held up for a while',
  isTotal: false,
  on: lasting(bothWays({ passage: 'held' }), 5_000),
};

export const CUT: FaultKind = {
  name: 'cut, over and over',
  isTotal: false,
  on: (proxies) => ({
    begin: () => undefined,
    again: () => proxies.forEach((proxy) => proxy.cut()),
    againMs: 300,
    lastsMs: 4_000,
    end: () => healAll(proxies),
  }),
};

export const REFUSED: FaultKind = {
  name: 'down: cut and refused',
  isTotal: true,
  on: (proxies) => ({
    begin() {
      for (const proxy of proxies) {
        proxy.refuse();
        proxy.cut();
      }
    },
    lastsMs: 6_000,
    end: () => healAll(proxies),
  }),
};

export const HALF_OPEN: FaultKind = {
  name: 'half-open: its other end gone without a word',
  isTotal: false,
  on: (proxies) => ({
    begin: () => proxies.forEach((proxy) => proxy.halfOpen()),
    lastsMs: 1_000,
    end: () => healAll(proxies),
  }),
};

/** First the answers are lost alone, to what has taken effect. */
export const BLACK_HOLE: FaultKind = {
  name: 'a black hole',
  isTotal: true,
  on: (proxies) => {
    let turns = 0;
    return {
      begin: () => proxies.forEach((proxy) => (proxy.faults = { toClient: { passage: 'lost' } })),
      again() {
        if (++turns === 4) proxies.forEach((proxy) => (proxy.faults = bothWays({ passage: 'lost' })));
      },
      againMs: 1_000,
      lastsMs: 14_000,
      end: () => healAll(proxies),
    };
  },
};

export const ALL_KINDS: readonly FaultKind[] = [SLOW, DRIP, HELD, CUT, REFUSED, HALF_OPEN, BLACK_HOLE];
