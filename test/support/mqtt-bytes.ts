/** Packets of MQTT 3.1.1 as they are sent, for clients that do what no library would. */

function lengthOf(bytes: number): Buffer {
  const digits: number[] = [];
  let left = bytes;
  do {
    const digit = left % 128;
    left = Math.floor(left / 128);
    digits.push(left > 0 ? digit | 0x80 : digit);
  } while (left > 0);
  return Buffer.from(digits);
}

/** @param first type and flags */
export function packet(first: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([first]), lengthOf(body.length), body]);
}

function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

function text(value: string | Buffer): Buffer {
  return Buffer.concat([uint16(Buffer.byteLength(value)), Buffer.from(value)]);
}

export interface ConnectOptions {
  readonly password?: string;
  readonly keepaliveSeconds?: number;
  readonly will?: { readonly topic: string; readonly payload: string };
  /** Whether the session begins and ends with the connection. Default: yes. */
  readonly clean?: boolean;
}

export function connectPacket(clientId: string, options: ConnectOptions = {}): Buffer {
  const { password, keepaliveSeconds = 60, will, clean = true } = options;
  const flags = (clean ? 0x02 : 0) | (will === undefined ? 0 : 0x0c) | (password === undefined ? 0 : 0xc0);
  return packet(
    0x10,
    text('MQTT'),
    Buffer.from([4, flags]),
    uint16(keepaliveSeconds),
    text(clientId),
    ...(will === undefined ? [] : [text(will.topic), text(will.payload)]),
    ...(password === undefined ? [] : [text('x'), text(password)]),
  );
}

/** @param messageId of QoS 1, or 2; absent: QoS 0 */
export function publishPacket(topic: string, payload: string, messageId?: number, qos: 1 | 2 = 1): Buffer {
  return messageId === undefined
    ? packet(0x30, text(topic), Buffer.from(payload))
    : packet(0x30 | (qos << 1), text(topic), uint16(messageId), Buffer.from(payload));
}

export function subscribePacket(filters: readonly string[], messageId = 1): Buffer {
  return packet(0x82, uint16(messageId), ...filters.flatMap((filter) => [text(filter), Buffer.from([1])]));
}

export const PINGREQ = packet(0xc0);
export const DISCONNECT = packet(0xe0);

/** Types of packets, in the upper half of their first byte. */
export const TYPES = { connack: 2, publish: 3, puback: 4, pubrec: 5, suback: 9, pingresp: 13 } as const;

/** The packets that have come whole: their types and bodies. */
export function packetsIn(bytes: Buffer): { readonly type: number; readonly body: Buffer }[] {
  const packets: { type: number; body: Buffer }[] = [];
  for (let at = 0; at + 2 <= bytes.length;) {
    const type = (bytes[at++] ?? 0) >> 4;
    let length = 0;
    let digit = 0x80;
    for (let place = 1; (digit & 0x80) !== 0; place *= 128) {
      digit = bytes[at++] ?? 0;
      length += (digit & 0x7f) * place;
    }
    if (at + length > bytes.length) break;
    packets.push({ type, body: bytes.subarray(at, at + length) });
    at += length;
  }
  return packets;
}
