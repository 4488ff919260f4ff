import { crc32c } from '@node-rs/crc32';
import { pause } from '../../../application/timing.js';
import { ByteReader } from './byte-reader.js';
import { type FetchArguments, fetchDefinition } from './kafkajs-internals.js';
import { type DecodedRecord } from './fetched-record.js';
import { decodeBatches, FetchBudget, isFormatV2 } from './record-batch-decoder.js';
import { doubt, trust } from './record-doubts.js';

/*
 * kafkajs 2.2.4 throws on a fetched batch of some 120 000 small records (it spreads them into a call), takes time
 * with the square of a record's headers, and throws on every batch that it cannot decompress. It would fetch the
 * batch again and again, and its partition would stand still. And it takes whatever comes for what was sent: it looks
 * at no checksum, nor at where the records stand. This reads the answers to Fetch version 11, which all brokers since
 * 2.3 speak, instead; it also costs half the time.
 */

const VERSION = 11;
/** A fetch is answered at once where there is something: a line that changes bytes all the time would be kept busy. */
const DAMAGE_PAUSE_MS = 100;
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
        (await decodeFetch(raw, options)) ?? response.decode(raw);
      return { ...api, response: { decode, parse: (data) => response.parse(data) } };
    };
  };
}

interface Partition {
  readonly partition: number;
  readonly records: Buffer;
  messages: DecodedRecord[];
}

/** Which partition of an answer is read first: what one holds may leave nothing for the others. */
let turn = 0;

/**
 * An answer to Fetch version 11, without partitions that were not asked for. Null where a partition holds messages of
 * Kafka before 0.11. Rejects where the bytes are no such answer.
 */
export async function decodeFetch(raw: Buffer, { topics }: FetchArguments): Promise<object | null> {
  const reader = new ByteReader(raw);
  const clientSideThrottleTime = reader.int32();
  const errorCode = reader.int16();
  const sessionId = reader.int32();
  const answered = reader.array(() => ({
    topicName: reader.text(reader.int16()),
    partitions: reader.array((): Partition => decodePartition(reader)),
  }));
  const responses = answered.map(({ topicName, partitions }) => ({
    topicName,
    partitions: partitions.filter(({ partition }) => offsetAsked(topics, topicName, partition) !== undefined),
  }));
  const withRecords = responses.flatMap(({ topicName, partitions }) =>
    partitions
      .filter(({ records }) => records.length > 0)
      .map((partition) => {
        const from = offsetAsked(topics, topicName, partition.partition) ?? 0;
        return { topic: topicName, partition, from };
      }),
  );
  const first = withRecords.length === 0 ? 0 : turn++ % withRecords.length;
  const budget = new FetchBudget();
  let isDamaged = false;
  for (const asked of [...withRecords.slice(first), ...withRecords.slice(0, first)]) {
    if (!isFormatV2(asked.partition.records)) {
      if (isOldFormat(asked)) return null;
      isDamaged = true;
      continue;
    }
    isDamaged = (await fill(asked, budget)) || isDamaged;
  }
  if (isDamaged) await pause(DAMAGE_PAUSE_MS);
  const known = responses.filter(({ partitions }) => partitions.length > 0);
  return { throttleTime: 0, clientSideThrottleTime, errorCode, sessionId, responses: known };
}

interface Asked {
  readonly topic: string;
  readonly partition: Partition;
  readonly from: number;
}

/** Undefined: the partition was not asked for. */
function offsetAsked(
  topics: FetchArguments['topics'],
  topicName: string,
  partition: number,
): number | undefined {
  // A topic can stand there several times.
  for (const { topic, partitions } of topics) {
    if (topic !== topicName) continue;
    const asked = partitions.find((each) => each.partition === partition);
    if (asked !== undefined) return Number(asked.fetchOffset);
  }
  return undefined;
}

/** False: a bit of the format may have become another one on the way. */
function isOldFormat({ topic, partition: { partition, records }, from }: Asked): boolean {
  const reason = 'the records are of an old format';
  return doubt({ topic, partition, offset: from, kind: 'records', reason }, `${from} ${crc32c(records)}`);
}

/** Decodes the records of a partition, up to the first that are to be asked for again. True: those are damaged. */
async function fill({ topic, partition: into, from }: Asked, budget: FetchBudget): Promise<boolean> {
  const { partition } = into;
  let hasDoubt = false;
  let isDamaged = false;
  into.messages = await decodeBatches(into.records, from, budget, ({ signature, ...about }) => {
    hasDoubt = true;
    const isConfirmed = doubt({ topic, partition, ...about }, signature);
    isDamaged ||= about.kind === 'records' && !isConfirmed;
    return isConfirmed;
  });
  if (!hasDoubt) trust(topic, partition);
  return isDamaged;
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
