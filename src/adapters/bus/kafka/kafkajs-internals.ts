import { createRequire } from 'node:module';

/*
 * The pieces of kafkajs 2.2.4 that are reached past its public API. The version is pinned; test/unit/bus.kafkajs
 * fails by name if one of them moves.
 */

export interface Encoder {
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
    request: { apiKey: number; apiVersion: number; apiName: string; encode(): Promise<Encoder> };
    response: { decode(raw: Buffer): Promise<unknown>; parse(data: unknown): Promise<unknown> };
  };
}

export interface MetadataArguments {
  readonly topics: readonly string[];
  readonly allowAutoTopicCreation?: boolean;
}

export interface RequestQueue {
  throttledUntil: number;
  throttleCheckTimeoutId: NodeJS.Timeout | null;
  pending: readonly unknown[];
  checkPendingRequests(): void;
  scheduleCheckPendingRequests(): void;
}

const load = createRequire(import.meta.url);

export const EncoderClass = load('kafkajs/src/protocol/encoder') as new () => Encoder;
export const DecoderClass = load('kafkajs/src/protocol/decoder') as new (buffer: Buffer) => Decoder;
export const metadataDefinition = load(
  'kafkajs/src/protocol/requests/metadata',
) as ProtocolDefinition<MetadataArguments>;
export const metadataV0Response = load('kafkajs/src/protocol/requests/metadata/v0/response') as {
  parse(data: unknown): Promise<unknown>;
};
export const requestQueuePrototype = (load('kafkajs/src/network/requestQueue') as { prototype: RequestQueue })
  .prototype;
