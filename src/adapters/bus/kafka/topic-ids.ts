import type { Admin, PartitionMetadata } from 'kafkajs';
import {
  DecoderClass,
  EncoderClass,
  metadataDefinition,
  metadataV0Response,
  type Decoder,
  type Encoder,
  type MetadataArguments,
} from './kafkajs-internals.js';

/*
 * Since 2.8 every topic has an id of its own (KIP-516): one that is deleted and made anew under the same name has
 * another. That is the only thing that tells the two apart for certain, and kafkajs, which speaks Metadata up to
 * version 6, does not show it. This adds version 10, the first one with ids; brokers that are older, or that have no
 * ids, are asked in version 6 as before.
 */

const METADATA_API_KEY = 3;
const VERSION = 10;
const NO_ID = Buffer.alloc(16);

function encodeRequest({ topics, allowAutoTopicCreation = true }: MetadataArguments): Encoder {
  const named = topics.map((topic) =>
    new EncoderClass().writeBuffer(NO_ID).writeUVarIntString(topic).writeUVarIntBytes(),
  );
  return (
    new EncoderClass()
      .writeUVarIntBytes()
      // No topics named means all topics, which is null on the wire.
      .writeUVarIntArray(named.length > 0 ? named : null)
      .writeBoolean(allowAutoTopicCreation)
      .writeBoolean(false)
      .writeBoolean(false)
      .writeUVarIntBytes()
  );
}

/** Reads a structure of the flexible encoding, which ends in tagged fields that nobody here needs. */
function struct<T>(read: (decoder: Decoder) => T): (decoder: Decoder) => T {
  return (decoder) => {
    const value = read(decoder);
    decoder.readTaggedFields();
    return value;
  };
}

const readBroker = struct((decoder) => ({
  nodeId: decoder.readInt32(),
  host: decoder.readUVarIntString(),
  port: decoder.readInt32(),
  rack: decoder.readUVarIntString(),
}));

const readNumbers = (decoder: Decoder): number[] =>
  decoder.readUVarIntArray((each) => each.readInt32()) ?? [];

const readPartition = struct((decoder) => {
  const partitionErrorCode = decoder.readInt16();
  const partitionId = decoder.readInt32();
  const leader = decoder.readInt32();
  decoder.readInt32(); // the leader's epoch
  return {
    partitionErrorCode,
    partitionId,
    leader,
    replicas: readNumbers(decoder),
    isr: readNumbers(decoder),
    offlineReplicas: readNumbers(decoder),
  };
});

const readTopic = struct((decoder) => {
  const topicErrorCode = decoder.readInt16();
  const topic = decoder.readUVarIntString();
  const id = decoder.readBytes(16);
  const isInternal = decoder.readBoolean();
  const partitions = decoder.readUVarIntArray(readPartition) ?? [];
  decoder.readInt32(); // authorized operations
  const topicId = id.equals(NO_ID) ? undefined : id.toString('hex');
  // kafkajs hands partitions out as they are and topics not, so the id of the topic rides on its partitions.
  return {
    topicErrorCode,
    topic,
    isInternal,
    partitionMetadata: partitions.map((each) => ({ ...each, topicId })),
  };
});

const readResponse = (decoder: Decoder): object => {
  decoder.readTaggedFields(); // of the header
  const clientSideThrottleTime = decoder.readInt32();
  return {
    throttleTime: 0,
    clientSideThrottleTime,
    brokers: decoder.readUVarIntArray(readBroker) ?? [],
    clusterId: decoder.readUVarIntString(),
    controllerId: decoder.readInt32(),
    topicMetadata: decoder.readUVarIntArray(readTopic) ?? [],
  };
};

/** Teaches kafkajs the version of Metadata that shows topic ids. May be called any number of times. */
export function installTopicIds(): void {
  if (metadataDefinition.versions.includes(String(VERSION))) return;
  const original = metadataDefinition.protocol;
  metadataDefinition.versions.push(String(VERSION));
  metadataDefinition.protocol = ({ version }) => {
    // kafkajs takes the best version that both sides know; for a broker between 6 and 10 that is one it lacks.
    if (version < VERSION) return original({ version: Math.min(version, 6) });
    return (options) => ({
      request: {
        apiKey: METADATA_API_KEY,
        apiVersion: VERSION,
        apiName: 'Metadata',
        encode: async () => encodeRequest(options),
      },
      response: {
        decode: async (raw) => readResponse(new DecoderClass(raw)),
        parse: (data) => metadataV0Response.parse(data),
      },
    });
  };
}

/** The id of a topic of which these are the partitions; null when its broker has no ids, or it has no partitions. */
export function topicIdOf(partitions: readonly PartitionMetadata[]): string | null {
  const first = partitions[0] as { topicId?: string } | undefined;
  return first?.topicId ?? null;
}

/**
 * The ids of existing topics; null for a topic of a broker that has no ids.
 * Throws when one of them does not exist (with kafkajs's unhelpful TypeError) or no broker answers.
 */
export async function fetchTopicIds(
  admin: Admin,
  topics: readonly string[],
): Promise<Map<string, string | null>> {
  const metadata = await admin.fetchTopicMetadata({ topics: [...topics] });
  return new Map(metadata.topics.map(({ name, partitions }) => [name, topicIdOf(partitions)]));
}
