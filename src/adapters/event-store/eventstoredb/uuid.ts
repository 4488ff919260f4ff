import type { UUID } from '@eventstore/db-client/generated/shared_pb.js';

/** The canonical text of a UUID that a server may send as text or as two numbers. */
export function uuidOf(uuid: UUID | undefined): string {
  if (uuid === undefined) return '';
  if (!uuid.hasStructured()) return uuid.getString().toLowerCase();
  const structured = uuid.getStructured();
  const hex = hexOf(structured?.getMostSignificantBits()) + hexOf(structured?.getLeastSignificantBits());
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

function hexOf(bits: string | undefined): string {
  return BigInt.asUintN(64, BigInt(bits ?? '0'))
    .toString(16)
    .padStart(16, '0');
}
