import { FaultProxy } from './fault-proxy.js';
import { type KafkaBroker, type KafkaBrokerOptions, startKafkaBroker } from './kafka-broker.js';
import { freePorts } from './ports.js';

/** A broker of one's own with a network that can fail, and past it an address of its own for the test itself. */
export interface ProxiedKafka {
  readonly broker: KafkaBroker;
  /** Each with a listener of its own behind it, in the order of the protocols. */
  readonly proxies: readonly FaultProxy[];
  stop(): Promise<void>;
}

/** Rejects as {@link startKafkaBroker}. */
export async function startProxiedKafka(
  seed: number,
  protocols: readonly ('plain' | 'tls')[],
  options: Omit<KafkaBrokerOptions, 'proxies'> = {},
): Promise<ProxiedKafka> {
  const ports = await freePorts(protocols.length);
  const broker = await startKafkaBroker({
    ...options,
    ssl: protocols.includes('tls'),
    proxies: protocols.map((protocol, n) => ({ port: ports[n] ?? 0, tls: protocol === 'tls' })),
  });
  const proxies = await Promise.all(
    protocols.map((_, n) =>
      FaultProxy.start({
        port: ports[n] ?? 0,
        target: broker.proxiedPorts[n] ?? 0,
        seed: seed + n * 1_000_000,
      }),
    ),
  );
  return {
    broker,
    proxies,
    async stop() {
      for (const proxy of proxies) proxy.close();
      await broker.stop();
    },
  };
}

export function addressOf({ port }: FaultProxy): string {
  return `127.0.0.1:${port}`;
}
