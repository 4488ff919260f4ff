import { randomUUID } from 'node:crypto';
import type { MethodDefinition, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import {
  decodeAppendPart,
  decodeBatchChunk,
  decodeDelete,
  encodeAppendAnswer,
  encodeBatchAnswer,
  encodeDeleteAnswer,
} from './append-codec.js';
import { BackwardsWriter } from './protobuf.js';
import { decodeRead, encodeRead } from './read-codec.js';
import { writeUuid } from './uuid.js';

const STREAMS = 'event_store.client.streams.Streams';
const GOSSIP = 'event_store.client.gossip.Gossip';
const SERVER_FEATURES = 'event_store.client.server_features.ServerFeatures';

type Streaming = Pick<MethodDefinition<unknown, unknown>, 'requestStream' | 'responseStream'>;
const UNARY: Streaming = { requestStream: false, responseStream: false };

function method<Request, Response>(
  path: string,
  streaming: Streaming,
  requestDeserialize: (buffer: Buffer) => Request,
  responseSerialize: (response: Response) => Buffer,
): MethodDefinition<Request, Response> {
  // Only a client needs the other two.
  const unused = (): never => {
    throw new Error(`The server does not send requests to ${path}.`);
  };
  return {
    path,
    ...streaming,
    requestDeserialize,
    responseSerialize,
    requestSerialize: unused,
    responseDeserialize: unused,
  };
}

export const streamsService = {
  read: method(`/${STREAMS}/Read`, { requestStream: false, responseStream: true }, decodeRead, encodeRead),
  append: method(
    `/${STREAMS}/Append`,
    { requestStream: true, responseStream: false },
    decodeAppendPart,
    encodeAppendAnswer,
  ),
  delete: method(`/${STREAMS}/Delete`, UNARY, decodeDelete, encodeDeleteAnswer),
  tombstone: method(`/${STREAMS}/Tombstone`, UNARY, decodeDelete, encodeDeleteAnswer),
  batchAppend: method(
    `/${STREAMS}/BatchAppend`,
    { requestStream: true, responseStream: true },
    decodeBatchChunk,
    encodeBatchAnswer,
  ),
} satisfies ServiceDefinition<UntypedServiceImplementation>;

export interface SupportedMethods {
  readonly version: string;
  readonly methods: readonly {
    readonly service: string;
    readonly name: string;
    readonly features: readonly string[];
  }[];
}

// It carries nothing, but gRPC takes undefined for a request that never came.
const NO_REQUEST = {};

export const serverFeaturesService = {
  getSupportedMethods: method(
    `/${SERVER_FEATURES}/GetSupportedMethods`,
    UNARY,
    () => NO_REQUEST,
    encodeSupportedMethods,
  ),
} satisfies ServiceDefinition<UntypedServiceImplementation>;

const writer = new BackwardsWriter();

function encodeSupportedMethods({ version, methods }: SupportedMethods): Buffer {
  writer.string(2, version);
  for (const { service, name, features } of methods.toReversed()) {
    const end = writer.mark();
    for (const feature of features.toReversed()) writer.string(3, feature);
    writer.string(2, service);
    writer.string(1, name);
    writer.close(1, end);
  }
  return writer.take();
}

/** A node of the cluster as the gossip tells of it. */
export interface Member {
  readonly host: string;
  readonly port: number;
  readonly state: 'leader' | 'follower';
}

const NODE_STATES = { leader: 8, follower: 6 } as const;
const TICKS_PER_MILLISECOND = 10_000;

export const gossipService = {
  read: method(`/${GOSSIP}/Read`, UNARY, () => NO_REQUEST, encodeMembers),
} satisfies ServiceDefinition<UntypedServiceImplementation>;

function encodeMembers(members: readonly Member[]): Buffer {
  for (const { host, port, state } of members.toReversed()) {
    const end = writer.mark();
    writer.varint(2, port);
    writer.string(1, host);
    writer.close(5, end);
    writer.varint(4, 1);
    writer.varint(3, NODE_STATES[state]);
    writer.varint(2, Date.now() * TICKS_PER_MILLISECOND);
    writeUuid(writer, 1, randomUUID(), false);
    writer.close(1, end);
  }
  return writer.take();
}

/** Everything in lower case, as the server has it. */
export function supportedMethods(version: string, batchAppend: boolean): SupportedMethods {
  const streams = STREAMS.toLowerCase();
  const methods = [
    { service: streams, name: 'read', features: ['position', 'events'] },
    { service: streams, name: 'append', features: [] },
    { service: streams, name: 'delete', features: [] },
    { service: streams, name: 'tombstone', features: [] },
    { service: GOSSIP.toLowerCase(), name: 'read', features: [] },
    { service: SERVER_FEATURES.toLowerCase(), name: 'getsupportedmethods', features: [] },
  ];
  if (batchAppend) methods.push({ service: streams, name: 'batchappend', features: ['deadline_duration'] });
  return { version, methods };
}
