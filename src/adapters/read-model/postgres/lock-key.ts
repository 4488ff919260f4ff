/** The first half of the keys of this service's advisory locks; the other half is the schema. */
const FIRST_HALVES = {
  migration: 0x44534d31,
  /** Held for as long as a process keeps the rows up to date. */
  projector: 0x44534d32,
  /** Held for as long as a process builds a generation. */
  rebuild: 0x44534d33,
  /** Held while generations are begun or swapped. */
  generations: 0x44534d34,
} as const;

export type LockName = keyof typeof FIRST_HALVES;

/**
 * The key of an advisory lock, as an expression of SQL. Such locks are of one database; the schema in the key keeps
 * apart the services that share one, and the first half those of other programs.
 */
export function lockKey(name: LockName): string {
  return `((${FIRST_HALVES[name]}::bigint << 32) | current_schema()::regnamespace::oid::bigint)`;
}
