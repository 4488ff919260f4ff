import type { FieldReader, BackwardsWriter } from './protobuf.js';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/** The two halves as the signed 64-bit numbers that the protocol's structured form has. */
export function uuidHalves(uuid: string): [bigint, bigint] {
  const hex = uuid.replaceAll('-', '');
  return [BigInt(`0x${hex.slice(0, 16)}`), BigInt(`0x${hex.slice(16)}`)];
}

export function uuidOfHalves(most: bigint, least: bigint): string {
  const hex = [most, least].map((half) => BigInt.asUintN(64, half).toString(16).padStart(16, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

export function readUuid(reader: FieldReader): string {
  let text = '';
  while (reader.next()) {
    if (reader.field === 2) text = reader.string();
    else if (reader.field === 1) text = readStructured(reader.message());
    else reader.skip();
  }
  return text;
}

function readStructured(reader: FieldReader): string {
  let most = 0n;
  let least = 0n;
  while (reader.next()) {
    if (reader.field === 1) most = reader.bigVarint();
    else if (reader.field === 2) least = reader.bigVarint();
    else reader.skip();
  }
  return uuidOfHalves(most, least);
}

export function writeUuid(writer: BackwardsWriter, field: number, uuid: string, structured: boolean): void {
  const end = writer.mark();
  if (structured) {
    const [most, least] = uuidHalves(uuid);
    writer.bigVarint(2, least);
    writer.bigVarint(1, most);
    writer.close(1, end);
  } else {
    writer.string(2, uuid);
  }
  writer.close(field, end);
}
