import { createRequire } from 'node:module';
import type { Socket } from 'node:net';

/*
 * The pieces of kafkajs 2.2.4 that are reached past its public API. The version is pinned; test/unit/bus/kafkajs
 * fails by name if one of them moves.
 */

export interface Encoder {
  buf: Buffer;
  readonly buffer: Buffer;
  offset: number;
  ensureAvailable: (this: Encoder, length: number) => void;
  writeEncoder: (this: Encoder, value: EncodedRequest) => Encoder;
  writeInt8(value: number): Encoder;
  writeInt16(value: number): Encoder;
  writeInt32(value: number): Encoder;
  writeBoolean(value: boolean): Encoder;
  writeBuffer(value: Buffer): Encoder;
  writeUVarInt(value: number): Encoder;
  writeUVarIntString(value: string | null): Encoder;
  writeUVarIntBytes(value?: Buffer | null): Encoder;
  writeUVarIntArray(values: Encoder[] | null): Encoder;
}

export interface Decoder {
  readInt16(): number;
  readInt32(): number;
  readBoolean(): boolean;
  readBytes(length: number): Buffer;
  readUVarIntString(): string | null;
  readUVarIntArray<T>(reader: (decoder: Decoder) => T): T[] | null;
  readTaggedFields(): unknown;
}

/** One API of Kafka's protocol as kafkajs defines it: by version, how to ask and how to read the answer. */
export interface ProtocolDefinition<Arguments> {
  versions: string[];
  protocol(
    this: void,
    options: { version: number },
  ): (options: Arguments) => {
    request: { apiKey: number; apiVersion: number; apiName: string; encode(): Promise<EncodedRequest> };
    response: { decode(raw: Buffer): Promise<unknown>; parse(data: unknown): Promise<unknown> };
  };
}

export interface MetadataArguments {
  readonly topics: readonly string[];
  readonly allowAutoTopicCreation?: boolean;
}

/** What is asked of a broker by Fetch. */
export interface FetchArguments {
  readonly topics: readonly {
    readonly topic: string;
    readonly partitions: readonly { readonly partition: number; readonly fetchOffset: string }[];
  }[];
}

export interface ConsumerGroup {
  memberId: string | null;
  readonly cluster: object;
  connect: (this: ConsumerGroup) => Promise<void>;
  joinAndSync: (this: ConsumerGroup) => Promise<void>;
}

export interface Runner {
  running: boolean;
  readonly fetchManager: { stop(): Promise<void> };
  fetch: (this: Runner, nodeId: number) => Promise<readonly unknown[]>;
  stop: (this: Runner) => Promise<void>;
}

export interface RequestQueue {
  readonly inflight: ReadonlyMap<number, unknown>;
  fulfillRequest(answer: { correlationId: number; payload: Buffer; size: number }): void;
  maybeThrottle: (this: RequestQueue, milliseconds: number | null) => void;
  throttledUntil: number;
  throttleCheckTimeoutId: NodeJS.Timeout | null;
  pending: readonly unknown[];
  checkPendingRequests(): void;
  scheduleCheckPendingRequests(): void;
}

export interface Connection {
  /** `host:port`. */
  readonly broker: string;
  readonly socket: Socket | undefined;
  readonly requestQueue: RequestQueue;
  /** What of SASL goes on now; its first mechanisms have no frames. */
  readonly authHandlers: { onSuccess(data: Buffer): void } | null;
  readonly authExpectResponse: boolean;
  chunks: Buffer[];
  bytesBuffered: number;
  bytesNeeded: number;
  processData: (this: Connection, data: Buffer) => void;
  send: (this: Connection, ask: { readonly request: { readonly apiKey: number } }) => Promise<unknown>;
  isConnected(): boolean;
  connect: (this: Connection) => Promise<unknown>;
  disconnect: (this: Connection) => Promise<unknown>;
}

const load = createRequire(import.meta.url);

export const EncoderClass = load('kafkajs/src/protocol/encoder') as { new (): Encoder; prototype: Encoder };
export const encoderPrototype = EncoderClass.prototype;
/** The hash of Java's producer, of either sign. */
export const murmur2 = load('kafkajs/src/producer/partitioners/default/murmur2') as (
  key: Buffer | string,
) => number;
export const DecoderClass = load('kafkajs/src/protocol/decoder') as new (buffer: Buffer) => Decoder;
export const metadataDefinition = load(
  'kafkajs/src/protocol/requests/metadata',
) as ProtocolDefinition<MetadataArguments>;
export const fetchDefinition = load(
  'kafkajs/src/protocol/requests/fetch',
) as ProtocolDefinition<FetchArguments>;
export const produceDefinition = load(
  'kafkajs/src/protocol/requests/produce',
) as ProtocolDefinition<ProduceArguments>;
export const metadataV0Response = load('kafkajs/src/protocol/requests/metadata/v0/response') as {
  parse(data: unknown): Promise<unknown>;
};
export const consumerGroupPrototype = (
  load('kafkajs/src/consumer/consumerGroup') as { prototype: ConsumerGroup }
).prototype;
export const connectionPrototype = (load('kafkajs/src/network/connection') as { prototype: Connection })
  .prototype;
export const runnerPrototype = (load('kafkajs/src/consumer/runner') as { prototype: Runner }).prototype;
export const requestQueuePrototype = (load('kafkajs/src/network/requestQueue') as { prototype: RequestQueue })
  .prototype;

/** What kafkajs encodes as one record. */
export interface RecordParts {
  readonly key?: Buffer | string | null;
  readonly value?: Buffer | string | null;
  readonly headers?: Readonly<
    Record<string, Buffer | string | readonly (Buffer | string)[] | null | undefined>
  >;
  /** What all of that takes in a record, where it was counted already. */
  readonly partsBytes?: number;
  /** The value's own bytes, where they were; −1: there is no value. */
  readonly valueBytes?: number;
}

/** The part of kafkajs' Encoder that others look at. */
export interface EncodedRequest {
  readonly buf: Buffer;
  readonly buffer: Buffer;
}

/** What kafkajs puts into one produce request. */
export interface ProduceArguments {
  readonly acks: number;
  readonly timeout: number;
  readonly compression?: number;
  readonly transactionalId?: string | null;
  readonly producerId?: { readonly value: bigint } | number | string | null;
  readonly topicData: readonly {
    readonly topic: string;
    readonly partitions: readonly {
      readonly partition: number;
      readonly messages: readonly (RecordParts & { readonly timestamp?: string | number | null })[];
    }[];
  }[];
}

/** What it makes of the answer. */
export interface ProduceAnswer {
  readonly topics: readonly {
    readonly topicName: string;
    readonly partitions: readonly { readonly partition: number }[];
  }[];
}
