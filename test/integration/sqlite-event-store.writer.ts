import { randomUUID } from 'node:crypto';
import { openSqliteEventStore } from '../../src/adapters/event-store/sqlite/sqlite-event-store.js';

/**
 * A process that owns an event store: `node --import tsx sqlite-event-store.writer.ts <dataDir> <streamCount>`.
 * Prints `open`, then appends two events at a time to every stream, round after round, and prints
 * `<stream> <revision> <id>` for each event only after its append was acknowledged. With 0 streams it just stays.
 */
async function main([dataDir = '', streamCount = '0']: readonly string[]): Promise<void> {
  const store = openSqliteEventStore({ dataDir });
  const revisions = new Map<string, number>();
  for (let n = 0; n < Number(streamCount); n++) {
    const stream = `device-${n}`;
    for await (const last of store.readStream(stream, { direction: 'backwards', maxCount: 1 })) {
      revisions.set(stream, last.revision);
    }
    if (!revisions.has(stream)) revisions.set(stream, -1);
  }
  process.stdout.write('open\n');
  if (revisions.size === 0) setInterval(() => undefined, 1000);
  while (revisions.size > 0) {
    const appends = [...revisions].map(([stream, expectedRevision]) => ({
      stream,
      expectedRevision,
      events: [1, 2].map(() => ({
        id: randomUUID(),
        type: 'Written',
        data: Buffer.from(JSON.stringify({ filler: 'x'.repeat(300) })),
        metadata: Buffer.from('{}'),
      })),
    }));
    // One call a stream: what is acknowledged must not depend on how appends are grouped.
    const answers = await Promise.all(appends.map((append) => store.append([append])));
    let lines = '';
    appends.forEach(({ stream, expectedRevision, events }, index) => {
      const answer = answers[index]?.[0];
      if (answer?.kind !== 'appended') throw new Error(`not appended: ${JSON.stringify(answer)}`);
      events.forEach(({ id }, at) => (lines += `${stream} ${expectedRevision + 1 + at} ${id}\n`));
      revisions.set(stream, answer.revision);
    });
    process.stdout.write(lines);
  }
}

void main(process.argv.slice(2));
