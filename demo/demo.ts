/**
 * From clone to a delta on the screen: starts the service, and plays a thermostat and a component that never speak to
 * each other, only with its replica. `KAFKA_BROKERS` set: over Kafka; otherwise over REST, with nothing but Node.js.
 */
import { randomBytes } from 'node:crypto';
import { type Kafka } from 'kafkajs';
import { readSettings } from '../src/config/settings.js';
import { type Answer, type AnswerChannel, type Section } from './documents.js';
import { KafkaLink, kafkaOf } from './kafka-link.js';
import { type Link } from './link.js';
import { RestLink } from './rest-link.js';
import { startService } from './service.js';
import { Stage } from './stage.js';

const DEVICE_ID = 'thermostat-1';
const THERMOSTAT = 'thermostat';
const COMPONENT = 'component';
const REPLICA = 'replica';

class Participant {
  private sent = 0;

  constructor(
    readonly name: string,
    readonly link: Link,
    private readonly stage: Stage,
  ) {}

  /** Sends an update and waits for its answer. */
  async update(state: { reported?: Section; desired?: Section }): Promise<Answer> {
    const clientToken = this.nextToken();
    const request = { state, clientToken };
    this.stage.message(this.name, this.link.address('update'), request);
    await this.link.send('update', request);
    return this.answer('update.accepted', clientToken);
  }

  async get(expected: 'get.accepted' | 'get.rejected' = 'get.accepted'): Promise<Answer> {
    const clientToken = this.nextToken();
    this.stage.message(
      this.name,
      this.link.address('get'),
      this.link.hasGetBody ? { clientToken } : undefined,
    );
    await this.link.send('get', { clientToken });
    return this.answer(expected, this.link.hasGetBody ? clientToken : undefined);
  }

  /** Waits for the delta of one version. */
  async delta(version: number | undefined): Promise<Answer> {
    const what = `the delta of version ${version}`;
    const answer = await this.link.receive('update.delta', what, (delta) => delta.version === version);
    this.stage.message(REPLICA, this.link.address('update.delta'), answer);
    return answer;
  }

  private async answer(channel: AnswerChannel, clientToken: string | undefined): Promise<Answer> {
    const answer = await this.link.receive(
      channel,
      `${channel}${clientToken === undefined ? '' : ` for ${clientToken}`}`,
      (each) => each.clientToken === clientToken,
    );
    this.stage.message(REPLICA, this.link.address(channel), answer);
    return answer;
  }

  private nextToken(): string {
    return `${this.name}-${++this.sent}`;
  }
}

function check(isTrue: boolean, what: string): void {
  if (!isTrue) throw new Error(`Not as promised: ${what}`);
}

async function play(stage: Stage, thermostat: Participant, component: Participant, stranger: Participant) {
  stage.title('1. Component to device');
  stage.caption('The thermostat reports what it is, and then waits for deltas.');
  await thermostat.update({ reported: { temperature: 18.5, target: 18, mode: 'off' } });
  await thermostat.link.connect();
  stage.caption('The component wants 21 degrees. It need not know whether the thermostat is there.');
  const wanted = await component.update({ desired: { target: 21, mode: 'heat' } });
  stage.caption('The thermostat is told what differs, and nothing else.');
  const delta = await thermostat.delta(wanted.version);
  check(delta.state?.['target'] === 21 && delta.state['mode'] === 'heat', 'the delta has both values');
  stage.caption('It acts, and reports its new state: nothing is outstanding any more.');
  const settled = await thermostat.update({ reported: { target: 21, mode: 'heat' } });
  const empty = await thermostat.delta(settled.version);
  check(Object.keys(empty.state ?? {}).length === 0, 'nothing is outstanding');

  stage.title('2. Device to component');
  stage.caption('The component waits for deltas too. The thermostat reports a new temperature.');
  await component.link.connect();
  const warmer = await thermostat.update({ reported: { temperature: 19.25 } });
  stage.caption('The component finds the changed value under "changed".');
  const change = await component.delta(warmer.version);
  check(change.changed?.reported?.['temperature'] === 19.25, 'the delta has the changed value');

  stage.title('3. Reading');
  stage.caption('Whoever asks gets both sections, with the time of every value in the metadata.');
  const current = await component.get();
  check(current.version === warmer.version, 'the answer is the latest version');
  stage.caption('A device that has never reported has no replica.');
  await stranger.get('get.rejected');

  stage.title('4. A device that is away');
  await thermostat.link.disconnect();
  stage.caption('The thermostat is disconnected. The component changes its mind twice.');
  await component.update({ desired: { target: 22 } });
  const last = await component.update({ desired: { target: 22.5, mode: 'eco' } });
  stage.caption(
    'Back again, the thermostat gets what it missed: the last delta holds all that is outstanding.',
  );
  await thermostat.link.connect();
  await thermostat.delta(last.version);
  stage.caption('Had it lost everything, it could also ask: the answer has the current delta.');
  const after = await thermostat.get();
  check(after.state?.delta?.['target'] === 22.5, 'the answer has the delta');
  const done = await thermostat.update({ reported: { target: 22.5, mode: 'eco' } });
  stage.caption('And the component sees that its wish has come true.');
  const end = await component.delta(done.version);
  check(Object.keys(end.state ?? {}).length === 0, 'nothing is outstanding at the end');
}

interface Cast {
  readonly thermostat: Link;
  readonly component: Link;
  readonly stranger: Link;
  close(): Promise<void>;
}

function overRest(url: string, prefix: string): Cast {
  const thermostat = new RestLink(THERMOSTAT, url, prefix, DEVICE_ID);
  const component = new RestLink(COMPONENT, url, prefix, DEVICE_ID);
  const stranger = new RestLink(COMPONENT, url, prefix, 'nobody');
  return {
    thermostat,
    component,
    stranger,
    close: async () => {
      await Promise.all([thermostat.disconnect(), component.disconnect()]);
    },
  };
}

async function overKafka(kafka: Kafka, prefix: string): Promise<Cast> {
  const thermostat = new KafkaLink(THERMOSTAT, kafka, prefix, DEVICE_ID);
  const component = new KafkaLink(COMPONENT, kafka, prefix, DEVICE_ID);
  const stranger = new KafkaLink('stranger', kafka, prefix, 'nobody');
  const links = [thermostat, component, stranger];
  await Promise.all(links.map((link) => link.open()));
  return {
    thermostat,
    component,
    stranger,
    close: async () => {
      await Promise.all(links.map((link) => link.close()));
    },
  };
}

/** Removes what the demo left on the broker: the topics of its own prefix, and its groups. */
async function tidy(kafka: Kafka, prefix: string): Promise<void> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    const { groups } = await admin.listGroups();
    const ours = groups.map(({ groupId }) => groupId).filter((id) => id.startsWith(`${prefix}.`));
    if (ours.length > 0) await admin.deleteGroups(ours);
    const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(`${prefix}.`));
    if (topics.length > 0) await admin.deleteTopics({ topics });
  } finally {
    await admin.disconnect();
  }
}

async function main(): Promise<void> {
  const settings = readSettings(process.env);
  const brokers = settings.KAFKA_BROKERS;
  // Topics and a group of its own: the demo never reads or writes what a real service on these brokers works on.
  const prefix = brokers === undefined ? 'state' : `state-demo-${randomBytes(3).toString('hex')}`;
  const service = await startService({
    TOPIC_PREFIX: prefix,
    ...(brokers === undefined
      ? {}
      : {
          KAFKA_GROUP_ID: `${prefix}.replica`,
          KAFKA_PARTITION_COUNT: process.env.KAFKA_PARTITION_COUNT ?? '3',
        }),
  });
  const kafka = brokers === undefined ? undefined : kafkaOf(settings);
  let cast: Cast | undefined;
  try {
    cast = kafka === undefined ? overRest(service.url, prefix) : await overKafka(kafka, prefix);
    const { thermostat, component, stranger } = cast;
    const width = Math.max(...[thermostat, stranger].map((link) => link.address('update.accepted').length));
    const stage = new Stage(process.stdout, THERMOSTAT.length, width, process.argv.includes('--full'));
    stage.title('Device State Replica: a thermostat and a component that share a state');
    stage.caption(
      `The service runs on ${service.url}, ${brokers === undefined ? 'embedded' : `on Kafka at ${brokers}`}.`,
    );
    stage.caption(
      brokers === undefined
        ? 'Updates are POSTs and gets are GETs, answered in their bodies; deltas come as server-sent events.'
        : 'Every message is a Kafka record: the topic, and in brackets its key, the device.',
    );
    const links = [thermostat, component, stranger];
    service.broken.catch((error: Error) => links.forEach((link) => link.fail(error)));
    await play(
      stage,
      new Participant(THERMOSTAT, thermostat, stage),
      new Participant(COMPONENT, component, stage),
      new Participant(COMPONENT, stranger, stage),
    );
    stage.title('Done: both flows, a read, and a device that was away.');
  } finally {
    await cast?.close();
    await service.stop();
    if (kafka !== undefined)
      await tidy(kafka, prefix).catch((error: Error) => remark(`topics are left: ${error.message}`));
  }
}

function remark(text: string): void {
  process.stderr.write(`demo: ${text}\n`);
}

// Ends the service too, and removes its data.
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));
try {
  await main();
} catch (error) {
  remark(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
