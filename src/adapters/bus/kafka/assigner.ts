import kafkajs, { type Assigner, type PartitionAssigner } from 'kafkajs';

/** The partitions of each topic that one member gets. */
export type MemberPartitions = Record<string, number[]>;

/**
 * Gives partition p of all topics to one member, so that the update, the delete and the get of a device, which share
 * their key, have one writer. Each member gets a run of partition numbers; the runs differ in length by one at most.
 * The result depends on the set of members and topics only, not on their order.
 */
export function assignCoPartitioned(
  memberIds: readonly string[],
  partitionsByTopic: Readonly<Record<string, readonly number[]>>,
): Map<string, MemberPartitions> {
  const members = [...memberIds].sort();
  const assignment = new Map<string, MemberPartitions>(members.map((member) => [member, {}]));
  const topics = Object.keys(partitionsByTopic).sort();
  const numbers = [...new Set(topics.flatMap((topic) => partitionsByTopic[topic] ?? []))].sort(
    (a, b) => a - b,
  );
  numbers.forEach((partition, index) => {
    const member = members[Math.floor((index * members.length) / numbers.length)];
    const share = member === undefined ? undefined : assignment.get(member);
    if (share === undefined) return;
    for (const topic of topics) {
      if (partitionsByTopic[topic]?.includes(partition)) (share[topic] ??= []).push(partition);
    }
  });
  return assignment;
}

/** The same for kafkajs; its leader runs it. All members of a group must offer an assigner of this name. */
export const coPartitionedAssigner: PartitionAssigner = ({ cluster }): Assigner => {
  const name = 'CoPartitioned';
  const version = 0;
  return {
    name,
    version,
    async assign({ members, topics }) {
      const partitionsByTopic = Object.fromEntries(
        topics.map((topic) => [
          topic,
          cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => partitionId),
        ]),
      );
      const assignment = assignCoPartitioned(
        members.map(({ memberId }) => memberId),
        partitionsByTopic,
      );
      return [...assignment].map(([memberId, partitions]) => ({
        memberId,
        memberAssignment: kafkajs.AssignerProtocol.MemberAssignment.encode({
          version,
          assignment: partitions,
          userData: Buffer.alloc(0),
        }),
      }));
    },
    protocol({ topics }) {
      return {
        name,
        metadata: kafkajs.AssignerProtocol.MemberMetadata.encode({
          version,
          topics,
          userData: Buffer.alloc(0),
        }),
      };
    },
  };
};
