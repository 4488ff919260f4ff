import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import kafkajs from 'kafkajs';
import { eventRow, rowToJson } from '../../src/application/event-row.js';
import { openEventStore } from '../../src/open-event-store.js';
import { runCli, startCli } from '../support/cli.js';
import { Histories, randomFrom } from '../support/histories.js';
import { describeWithKafka } from '../support/kafka.js';
import { KafkaTap } from '../support/kafka-tap.js';

describeWithKafka('replay to Kafka', (brokers) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'replay-'));
  const kafka = new kafkajs.Kafka({ brokers: brokers.split(','), logLevel: kafkajs.logLevel.NOTHING });
  const prefix = `replay-${randomUUID()}`;
  const environment = { DATA_DIR: dataDir, KAFKA_BROKERS: brokers, TOPIC_PREFIX: prefix };
  const lines: string[] = [];
  const positions: bigint[] = [];
  const taps: KafkaTap[] = [];

  beforeAll(async () => {
    const store = openEventStore({ kind: 'sqlite', dataDir });
    await new Histories(randomFrom(11), 12).append(store, 900);
    for await (const event of store.readAll()) {
      const row = eventRow(event);
      if (row === null) continue;
      lines.push(rowToJson(row));
      positions.push(row.position);
    }
    await store.close();
  });
  afterAll(async () => {
    await Promise.all(taps.map((tap) => tap.stop()));
    const admin = kafka.admin();
    await admin.connect();
    const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(prefix));
    await admin.deleteTopics({ topics });
    await admin.disconnect();
    rmSync(dataDir, { recursive: true });
  });
  const tapOf = async (topic: string): Promise<KafkaTap> => {
    const tap = await KafkaTap.open(kafka, [topic]);
    taps.push(tap);
    return tap;
  };
  /** What each device's key was given, in the order of its partition. */
  const byDevice = (values: readonly string[]): Map<string, string[]> => {
    const devices = new Map<string, string[]>();
    for (const value of values) {
      const { deviceId } = JSON.parse(value) as { deviceId: string };
      devices.set(deviceId, [...(devices.get(deviceId) ?? []), value]);
    }
    return devices;
  };

  it('publishes all events on a topic that it makes, in order for each device, with the original times', async () => {
    const done = await runCli(environment, 'replay', '--speed', 'max', '--partitions', '3');
    expect(done).toMatchObject({ code: 0, stdout: `Replayed: ${lines.length} events to ${prefix}.replay\n` });
    const tap = await tapOf(`${prefix}.replay`);
    const messages = await tap.has(lines.length, `${prefix}.replay`);
    expect(messages).toHaveLength(lines.length);
    expect(byDevice(messages.map(({ value }) => value ?? ''))).toEqual(byDevice(lines));
    const partitions = new Map<string, Set<number>>();
    for (const { key, value, headers, partition } of messages) {
      const row = JSON.parse(value ?? '') as { deviceId: string; timestamp: number; version: number };
      expect(key).toBe(row.deviceId);
      expect(headers).toMatchObject({
        ce_subject: row.deviceId,
        ce_time: new Date(row.timestamp).toISOString(),
        'original-timestamp': String(row.timestamp),
        'original-version': String(row.version),
      });
      partitions.set(row.deviceId, (partitions.get(row.deviceId) ?? new Set()).add(partition));
    }
    for (const each of partitions.values()) expect(each.size).toBe(1);
    expect(new Set([...partitions.values()].flatMap((each) => [...each])).size).toBeGreaterThan(1);
  });

  it('is refused on the live topics, before anything is sent', async () => {
    for (const topic of [
      `${prefix}.update`,
      `${prefix}.update.delta`,
      `${prefix}.dead-letter`,
      'state.get',
    ]) {
      const { code, stderr } = await runCli(environment, 'replay', '--speed', 'max', '--topic', topic);
      expect({ topic, code }).toEqual({ topic, code: 2 });
      expect(stderr).toMatch(/a service reads or writes topics that end in/);
    }
  });

  it('ends on Ctrl-C after what was acknowledged, and goes on where it says', async () => {
    const topic = `${prefix}.slow`;
    const args = ['replay', '--topic', topic, '--partitions', '1'];
    // A millisecond lies between the commands: at this pace there are some twenty a second.
    const { child, exit } = startCli(environment, [...args, '--speed', '0.02x']);
    await new Promise((resolve) => child.once('exit', resolve).stderr.once('data', resolve));
    child.kill('SIGINT');
    const { code, stdout } = await exit;
    expect(code).toBe(130);
    const after = /^Interrupted after (\d+) events; to go on, run it again with --after (\d+)\n$/.exec(
      stdout,
    );
    const sent = Number(after?.[1]);
    expect(sent).toBeGreaterThan(0);
    expect(sent).toBeLessThan(lines.length);
    expect(BigInt(after?.[2] ?? 0)).toBe(positions[sent - 1]);
    const rest = await runCli(environment, ...args, '--speed', 'max', '--after', after?.[2] ?? '');
    expect(rest).toMatchObject({ code: 0, stdout: `Replayed: ${lines.length - sent} events to ${topic}\n` });
    const tap = await tapOf(topic);
    const messages = await tap.has(lines.length, topic);
    expect(messages.map(({ value }) => value)).toEqual(lines);
  });
});
