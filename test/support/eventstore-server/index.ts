import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  Server,
  ServerCredentials,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
} from '@grpc/grpc-js';
import type { AppendAnswer, AppendPart, BatchAnswer, BatchChunk, WriteOptions } from './append-codec.js';
import { append, BatchAppendCall, type ServerStats } from './appends.js';
import { remove } from './deletes.js';
import { refusalError } from './errors.js';
import { after, ServerFaults } from './faults.js';
import { read, type ReadCall, type Subscription } from './reads.js';
import {
  gossipService,
  serverFeaturesService,
  streamsService,
  supportedMethods,
  type Member,
  type SupportedMethods,
} from './service.js';
import { ServerStorage } from './storage.js';

export { ServerFaults } from './faults.js';
export { ServerStorage } from './storage.js';
export type { ServerStats } from './appends.js';
export type { CallKind, DroppedResponse } from './faults.js';
export type { Member } from './service.js';

const HOST = '127.0.0.1';
const MIB = 1024 * 1024;
const MAX_MESSAGE_BYTES = 17 * MIB;
const BIND_TIMEOUT_MS = 10_000;
const BIND_RETRY_MS = 50;

export interface EventStoreServerOptions {
  /** Default: a free one. */
  port?: number;
  /** Of an earlier server, to start with what that one recorded. Default: a new one. */
  storage?: ServerStorage;
  /** Of the events of one append together, as servers up to 25.0 have it. Default: 1 MiB. */
  maxAppendBytes?: number;
  /** Of each event, as later servers have it; takes the place of the former. Default: none. */
  maxEventBytes?: number;
  /** Whether it offers batch appends. Default: yes. */
  batchAppend?: boolean;
  /** Whether filtered subscriptions get a checkpoint when they have caught up (24.10 and later). Default: yes. */
  checkpointBeforeCaughtUp?: boolean;
  /** What it says its version is. Default: 24.10.0.0. */
  version?: string;
  /** PEM files, to speak TLS alone; `ca` is what clients trust. Default: it speaks without. */
  tls?: { readonly cert: string; readonly key: string; readonly ca: string };
}

export interface EventStoreServer {
  /** For the client: esdb://127.0.0.1:PORT?tls=false, or with its certificate. */
  readonly connectionString: string;
  readonly port: number;
  readonly storage: ServerStorage;
  readonly faults: ServerFaults;
  readonly stats: ServerStats;
  /** What its gossip tells a client that discovers a cluster through it. At first: itself, as the leader. */
  members: readonly Member[];
  /** Drops every connection and listens again on the same port, with the same storage. */
  restart(): Promise<void>;
  /** Drops every connection. May be called again. */
  stop(): Promise<void>;
}

/**
 * Starts a server that speaks EventStoreDB's protocol over gRPC and keeps its events in memory. For tests and as
 * the other side of benchmarks. Rejects if the port stays taken for 10 s.
 */
export async function startEventStoreServer(
  options: EventStoreServerOptions = {},
): Promise<EventStoreServer> {
  const storage = options.storage ?? new ServerStorage();
  const stats: ServerStats = { appends: 0, batchAppends: 0, events: 0, maxBatchAppendsInFlight: 0 };
  const subscriptions = new Set<Subscription>();
  let port = options.port ?? 0;
  const faults = new ServerFaults(
    () => {
      const live = [...subscriptions];
      for (const subscription of live) subscription.abortAsSlow();
      return live.length;
    },
    () => port,
  );
  const listen = async (): Promise<Server> => {
    const server = createServer(options, {
      storage,
      stats,
      faults,
      subscriptions,
      members: () => result.members,
    });
    port = await bind(server, port, credentialsOf(options));
    return server;
  };
  const result: { members: readonly Member[] } = { members: [] };
  let server: Server | undefined = await listen();
  result.members = [{ host: HOST, port, state: 'leader' }];
  const stop = async (): Promise<void> => {
    const stopped = server;
    server = undefined;
    stopped?.forceShutdown();
  };
  return Object.assign(result, {
    connectionString: connectionStringOf(port, options),
    port,
    storage,
    faults,
    stats,
    stop,
    async restart() {
      await stop();
      server = await listen();
    },
  });
}

/** How a client reaches this server at a port, its own or that of a proxy before it. */
export function connectionStringOf(port: number, { tls }: Pick<EventStoreServerOptions, 'tls'> = {}): string {
  const options = tls === undefined ? 'tls=false' : `tlsCAFile=${encodeURIComponent(tls.ca)}`;
  return `esdb://${HOST}:${port}?${options}`;
}

function credentialsOf({ tls }: EventStoreServerOptions): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  const pair = { cert_chain: readFileSync(tls.cert), private_key: readFileSync(tls.key) };
  return ServerCredentials.createSsl(null, [pair]);
}

/** The port may be in use for a moment after the server that had it has let go of it. */
async function bind(server: Server, port: number, credentials: ServerCredentials): Promise<number> {
  const deadline = Date.now() + BIND_TIMEOUT_MS;
  for (;;) {
    try {
      return await new Promise<number>((resolve, reject) => {
        server.bindAsync(`${HOST}:${port}`, credentials, (error, bound) => {
          if (error) reject(error);
          else resolve(bound);
        });
      });
    } catch (error) {
      if (port === 0 || Date.now() > deadline) throw error;
      await sleep(BIND_RETRY_MS);
    }
  }
}

interface Parts {
  readonly storage: ServerStorage;
  readonly stats: ServerStats;
  readonly faults: ServerFaults;
  readonly subscriptions: Set<Subscription>;
  readonly members: () => readonly Member[];
}

function createServer(options: EventStoreServerOptions, parts: Parts): Server {
  const { faults } = parts;
  const batchAppend = options.batchAppend ?? true;
  const features = supportedMethods(options.version ?? '24.10.0.0', batchAppend);
  const appends = {
    ...parts,
    maxAppendBytes: options.maxAppendBytes ?? MIB,
    maxEventBytes: options.maxEventBytes,
  };
  const reads = { ...parts, checkpointBeforeCaughtUp: options.checkpointBeforeCaughtUp ?? true };
  const server = new Server({ 'grpc.max_receive_message_length': MAX_MESSAGE_BYTES });
  const { batchAppend: batchAppendMethod, ...otherMethods } = streamsService;
  server.addService(otherMethods, {
    read: (call: ReadCall) => read(reads, call),
    append: (call: ServerReadableStream<AppendPart, AppendAnswer>, callback: sendUnaryData<AppendAnswer>) =>
      append(appends, call, callback),
    delete: (call: ServerUnaryCall<WriteOptions, number>, callback: sendUnaryData<number>) =>
      remove(appends, 'softDelete', call, callback),
    tombstone: (call: ServerUnaryCall<WriteOptions, number>, callback: sendUnaryData<number>) =>
      remove(appends, 'tombstone', call, callback),
  });
  if (batchAppend) {
    server.addService(
      { batchAppend: batchAppendMethod },
      {
        batchAppend: (call: ServerDuplexStream<BatchChunk, BatchAnswer>) => {
          new BatchAppendCall(appends, call);
        },
      },
    );
  }
  server.addService(gossipService, {
    read: (_call: ServerUnaryCall<object, readonly Member[]>, callback: sendUnaryData<readonly Member[]>) =>
      callback(null, parts.members()),
  });
  server.addService(serverFeaturesService, {
    getSupportedMethods: (
      call: ServerUnaryCall<object, SupportedMethods>,
      callback: sendUnaryData<SupportedMethods>,
    ) => {
      const refusal = faults.takeRefusal('features');
      if (refusal) return callback(refusalError(refusal));
      after(faults.delayMs, () => callback(null, features));
    },
  });
  return server;
}
