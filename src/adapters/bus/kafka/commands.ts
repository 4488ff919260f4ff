import type { KafkaMessage } from 'kafkajs';
import type { CommandChannel, CommandMessage } from '../../../application/ports/bus.js';

/** A record as the port knows it. */
export function toCommand(
  message: KafkaMessage,
  channel: CommandChannel,
  place: { readonly topic: string; readonly partition: number; readonly log: string },
): CommandMessage {
  const { key, value, headers = {}, offset, timestamp } = message;
  const position = { ...place, offset: Number(offset), timestamp: Number(timestamp) };
  return { channel, key, value, headers, position };
}
