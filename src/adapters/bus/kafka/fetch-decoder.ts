import { ByteReader } from './byte-reader.js';
import { fetchDefinition } from './kafkajs-internals.js';
import { decodeBatches, isFormatV2, type DecodedRecord } from './record-batch-decoder.js';

/*
 * kafkajs 2.2.4 throws on a fetched batch of some 120 000 small records (it spreads them into a call), takes time
 * with the square of a record's headers, and throws on every batch that it cannot decompress. It would fetch the
 * batch again and again, and its partition would stand still. This reads the answers to Fetch version 11, which all
 * brokers since 2.3 speak, instead; it also costs half the time.
 */

const VERSION = 11;
let isInstalled = false;

/** Makes kafkajs read fetched records this way. May be called any number of times. */
export function installFetchDecoder(): void {
  if (isInstalled) return;
  isInstalled = true;
  const original = fetchDefinition.protocol;
  fetchDefinition.protocol = ({ version }) => {
    const make = original({ version });
    if (version !== VERSION) return make;
    return (options) => {
      const api = make(options);
      const { response } = api;
      const decode = async (raw: Buffer): Promise<unknown> =>
        (await decodeResponse(raw)) ?? response.decode(raw);
      return { ...api, response: { decode, parse: (data) => response.parse(data) } };
    };
  };
}

interface Partition {
  readonly records: Buffer;
  messages: DecodedRecord[];
}

/** Null where a partition holds messages of Kafka before 0.11. */
async function decodeResponse(raw: Buffer): Promise<object | null> {
  const reader = new ByteReader(raw);
  const clientSideThrottleTime = reader.int32();
  const errorCode = reader.int16();
  const sessionId = reader.int32();
  const responses = reader.array(() => ({
    topicName: reader.text(reader.int16()),
    partitions: reader.array(() => decodePartition(reader)),
  }));
  for (const { partitions } of responses) {
    for (const partition of partitions as Partition[]) {
      if (!isFormatV2(partition.records)) return null;
      partition.messages = await decodeBatches(partition.records);
    }
  }
  return { throttleTime: 0, clientSideThrottleTime, errorCode, sessionId, responses };
}

function decodePartition(reader: ByteReader) {
  return {
    partition: reader.int32(),
    errorCode: reader.int16(),
    highWatermark: String(reader.int64()),
    lastStableOffset: String(reader.int64()),
    lastStartOffset: String(reader.int64()),
    abortedTransactions: reader.array(() => ({
      producerId: String(reader.int64()),
      firstOffset: String(reader.int64()),
    })),
    preferredReadReplica: reader.int32(),
    records: reader.bytes(reader.int32()) ?? Buffer.alloc(0),
    messages: [] as DecodedRecord[],
  };
}
