import kafkajs from 'kafkajs';

const choose = kafkajs.Partitioners.DefaultPartitioner();
const known = new Map<string, number>();

/** Where any producer's record with this key goes. */
export function partitionOf(key: string | null, partitionCount: number): number {
  if (key === null) return 0;
  const name = `${partitionCount}/${key}`;
  let partition = known.get(name);
  if (partition === undefined) {
    const partitionMetadata = Array.from({ length: partitionCount }, (_, partitionId) => ({
      partitionErrorCode: 0,
      partitionId,
      leader: 1,
      replicas: [],
      isr: [],
    }));
    partition = choose({ topic: '', partitionMetadata, message: { key, value: null } });
    known.set(name, partition);
  }
  return partition;
}
