import { refusalOfReplayTopic, ReplayPublisher } from '../adapters/bus/kafka/replay-publisher.js';
import { type EventRow } from '../application/event-row.js';
import { type ReplayTarget, replay } from '../application/replay.js';
import { selectEvents } from '../application/select-events.js';
import { kafkaConnectionOf } from '../kafka-settings.js';
import { type Command, countOf, lineOf, noneLeft, UsageError } from './command.js';
import { interruptible } from './interrupt.js';
import { print } from './output.js';
import { endOfBar, Progress } from './progress.js';
import { readSelection, SELECTION_HELP, SELECTION_OPTIONS } from './selection.js';
import { readPlace, withLog } from './store.js';

export const replayCommand: Command = {
  name: 'replay',
  synopsis: '[--speed 10x|max] [--topic TOPIC] [OPTIONS]',
  summary: 'publish history to a Kafka topic of its own',
  help: `Publishes events to a Kafka topic of its own, in their order, at the pace in which
they happened: key = the device, value = the event as export writes it in ndjson,
original times in headers (ce_time, original-timestamp, …). Each is sent once the
one before it is acknowledged; one whose acknowledgement was lost may come twice.

--speed SPEED            1x as it was, 10x ten times faster, max as fast as Kafka
                         takes it. Default: 1x
--topic TOPIC            default: TOPIC_PREFIX.replay (state.replay). Topics that a
                         service reads or writes are refused
--partitions COUNT       of the topic where it is missing and is made. Default:
                         KAFKA_PARTITION_COUNT

${SELECTION_HELP}
Kafka is that of the service's settings: KAFKA_BROKERS, KAFKA_TLS, KAFKA_SASL_….
Ctrl-C ends it after what is on its way, and says how to go on.
`,
  options: ['speed', 'topic', 'partitions', ...SELECTION_OPTIONS],
  async run({ positionals, values }) {
    noneLeft(positionals);
    const speed = readSpeed(values['speed']);
    const partitions = countOf('partitions', values['partitions']);
    const selection = readSelection(values);
    const place = readPlace(values);
    const { settings } = place;
    const topic = values['topic'] ?? `${settings.TOPIC_PREFIX}.replay`;
    const refusal = refusalOfReplayTopic(topic);
    if (refusal !== null) throw new UsageError(`--topic ${topic}: ${refusal}`);
    const { KAFKA_BROKERS } = settings;
    if (KAFKA_BROKERS === undefined) throw new Error('KAFKA_BROKERS is not set: replay needs Kafka');
    return interruptible((signal) =>
      withLog(place, async (log) => {
        const publisher = await ReplayPublisher.open({
          ...kafkaConnectionOf({ ...settings, KAFKA_BROKERS }),
          partitions: partitions ?? settings.KAFKA_PARTITION_COUNT,
          replicationFactor: settings.KAFKA_REPLICATION_COUNT,
          topic,
        });
        const progress = new Progress(process.stderr, 'Replaying');
        let share = 0;
        const reached: { position: bigint | null } = { position: selection.after };
        try {
          const rows = selectEvents(log, selection, signal, (done) => (share = done.share));
          const done = await replay(rows, remembering(publisher, reached), {
            speed,
            signal,
            onProgress: (events) => progress.update(events, share),
          });
          if (!done.isInterrupted) {
            progress.end(done.events);
            print(`Replayed: ${done.events} events to ${topic}\n`);
            return 0;
          }
          process.stderr.write(endOfBar());
          print(`Interrupted after ${done.events} events; ${howToGoOn(reached.position)}\n`);
          return 130;
        } catch (error) {
          throw new Error(`${lineOf(error)}; ${howToGoOn(reached.position)}`, { cause: error });
        } finally {
          await publisher.close();
        }
      }),
    );
  },
};

/** Keeps the position up to which all is acknowledged, also where it fails. */
function remembering(target: ReplayTarget, reached: { position: bigint | null }): ReplayTarget {
  return {
    publish: async (rows: readonly EventRow[]) => {
      await target.publish(rows);
      reached.position = rows.at(-1)?.position ?? reached.position;
    },
  };
}

function howToGoOn(position: bigint | null): string {
  return position === null ? 'to go on, run it again' : `to go on, run it again with --after ${position}`;
}

/** Throws {@link UsageError}. */
export function readSpeed(text = '1x'): number {
  if (text === 'max') return Infinity;
  const speed = /^(\d{1,9}(?:\.\d{1,6})?)x$/.exec(text)?.[1];
  if (speed === undefined || Number(speed) === 0) {
    throw new UsageError(`--speed must be such as 1x, 0.5x, 10x, or max; it is '${text}'`);
  }
  return Number(speed);
}
