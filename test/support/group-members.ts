import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { type Kafka } from 'kafkajs';

interface Connection {
  connect(): Promise<unknown>;
  send(protocol: object): Promise<unknown>;
  disconnect(): Promise<unknown>;
}

const load = createRequire(import.meta.url);
const ConnectionClass = load('kafkajs/src/network/connection') as new (options: object) => Connection;
const leaveGroup = load('kafkajs/src/protocol/requests/leaveGroup') as {
  protocol(options: { version: number }): (options: { groupId: string; memberId: string }) => object;
};
const quiet = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/**
 * Tells the broker that all members of the group are gone, as it would find out by itself when their sessions have run
 * out: whoever joins next need not wait for the dead. For a cluster of one broker.
 */
export async function expelMembers(kafka: Kafka, brokers: string, groupId: string): Promise<void> {
  const admin = kafka.admin();
  await admin.connect();
  const { groups } = await admin.describeGroups([groupId]);
  await admin.disconnect();
  const [host = '', port = ''] = brokers.split(',')[0]?.split(':') ?? [];
  const connection = new ConnectionClass({
    host,
    port: Number(port),
    logger: { namespace: () => quiet },
    socketFactory: ({ onConnect }: { onConnect: () => void }) =>
      connect({ host, port: Number(port) }, onConnect),
    requestTimeout: 30_000,
    connectionTimeout: 30_000,
  });
  await connection.connect();
  try {
    for (const { memberId } of groups[0]?.members ?? []) {
      // One that has gone meanwhile is not missed.
      await connection
        .send(leaveGroup.protocol({ version: 1 })({ groupId, memberId }))
        .catch(() => undefined);
    }
  } finally {
    await connection.disconnect();
  }
}
