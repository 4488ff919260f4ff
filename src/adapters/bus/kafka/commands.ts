import type { KafkaMessage } from 'kafkajs';
import { UNREADABLE_BATCH, UNREADABLE_RECORD } from './record-batch-decoder.js';
import type { CommandChannel, CommandMessage } from '../../../application/ports/bus.js';

/** A record as the port knows it. */
export function toCommand(
  message: KafkaMessage & { readonly time?: number },
  channel: CommandChannel,
  place: { readonly topic: string; readonly partition: number; readonly log: string },
): CommandMessage {
  const { key, value, headers = {}, offset } = message;
  const { topic, partition, log } = place;
  const timestamp = message.time ?? Number(message.timestamp);
  const position = { topic, partition, offset: Number(offset), timestamp, log };
  const command = { channel, key, value, headers, position };
  // A producer may send such a header, too: then it is one as any other.
  const unreadable = key === null ? (headers[UNREADABLE_BATCH] ?? headers[UNREADABLE_RECORD]) : undefined;
  return unreadable === undefined ? command : { ...command, unreadable: String(unreadable) };
}
