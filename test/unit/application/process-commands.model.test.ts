import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type Message } from '../../../src/application/outputs.js';
import { Lease, CommandLog } from '../../support/command-log.js';
import { commandIds, documentOf, exact, header } from '../../support/outputs.js';
import { type ProcessSettings, ReplicaProcess, steppingClock } from '../../support/replica-process.js';
import { ReplicaModel, type ModelCommand } from '../../support/replica-model.js';

const DEVICES = ['a', 'b', 'c'];

/** One command of the log; `version` is relative to what the device has, so that it is often right. */
const command = fc.record({
  device: fc.constantFrom(...DEVICES),
  reported: fc.option(fc.dictionary(fc.constantFrom('x', 'y'), fc.constantFrom(1, 2, null), { maxKeys: 2 })),
  desired: fc.option(fc.dictionary(fc.constantFrom('x', 'y'), fc.constantFrom(1, 2, null), { maxKeys: 2 })),
  versionAhead: fc.constantFrom(undefined, undefined, undefined, 0, 0, 1, -1),
  malformed: fc.constantFrom(false, false, false, false, true),
  messageId: fc.constantFrom(undefined, undefined, undefined, 'm1', 'm2'),
});

/** How a batch is read: from so many messages back, and what befalls it. */
const delivery = fc.record({
  back: fc.nat({ max: 6 }),
  count: fc.integer({ min: 1, max: 8 }),
  fault: fc.constantFrom(
    'none',
    'none',
    'crash-before-append',
    'crash-after-append',
    'crash-before-publish',
    'crash-after-publish',
    'unknown-recorded',
    'unknown-lost',
    'abandoned',
    'restart',
    'zombie',
  ),
});

const scenario = fc.record({
  commands: fc.array(command, { minLength: 1, maxLength: 24 }),
  deliveries: fc.array(delivery, { maxLength: 8 }),
  skip: fc.boolean(),
  cached: fc.boolean(),
  snapshotEveryCount: fc.constantFrom(undefined, 1, 2, 3),
  stepCount: fc.constantFrom(1, 2, 3, 500),
});
type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never;
type Delivery = Scenario['deliveries'][number];

/** Fills a log with the commands, and the model with what each of them must do. */
function prepare({ commands, skip }: Scenario): { log: CommandLog; model: ReplicaModel } {
  const log = new CommandLog();
  const model = new ReplicaModel(skip);
  for (const { device, reported, desired, versionAhead, malformed, messageId } of commands) {
    const state = {
      ...(reported === null ? {} : { reported }),
      ...(desired === null ? {} : { desired }),
    };
    const version =
      versionAhead === undefined ? {} : { version: Math.max(0, model.versionOf(device) + versionAhead) };
    const body: ModelCommand = { state, ...version };
    const text = malformed ? '{' : JSON.stringify(body);
    log.send(device, text, messageId === undefined ? {} : { 'message-id': messageId });
    model.take(device, malformed ? null : body, text, messageId);
  }
  return { log, model };
}

function settingsOf(plan: Scenario): ProcessSettings {
  return {
    unchangedUpdates: plan.skip ? 'skip' : 'record',
    cacheBytes: plan.cached ? 1 << 20 : 0,
    stepCount: plan.stepCount,
    ...(plan.snapshotEveryCount === undefined ? {} : { snapshotEveryCount: plan.snapshotEveryCount }),
    clock: steppingClock(),
  };
}

/** Reads the log from its start to its end, as a consumer does whom the faults befall. */
async function run(plan: Scenario, log: CommandLog): Promise<{ seen: Message[]; service: ReplicaProcess }> {
  const settings = settingsOf(plan);
  let service = new ReplicaProcess(settings);
  const seen: Message[] = [];
  let committed = 0;
  const next = async ({ back, count, fault }: Delivery): Promise<void> => {
    await service.snapshots?.flush();
    const from = Math.max(0, committed - back);
    const to = Math.min(log.messages.length, committed + count);
    const batch = log.batch(from, to);
    switch (fault) {
      case 'crash-before-append':
      case 'crash-after-append':
        service.store.appendFaults.push({
          kind: fault === 'crash-before-append' ? 'crash-before' : 'crash-after',
        });
        break;
      case 'crash-before-publish':
      case 'crash-after-publish':
        service.publishFaults.push(fault === 'crash-before-publish' ? 'crash-before' : 'crash-after');
        break;
      case 'unknown-recorded':
      case 'unknown-lost':
        service.store.appendFaults.push({ kind: fault });
        break;
      case 'abandoned': {
        const lease = new Lease();
        lease.isLost = true;
        service.store.appendFaults.push({ kind: 'unknown-recorded' });
        const left = await service.deliver(log.batch(from, to, lease)).catch(() => null);
        service.store.appendFaults.length = 0;
        // With nothing to append nothing is missed, and the batch ends.
        if (left !== null) seen.push(...left);
        return;
      }
      case 'restart':
        service = service.restarted(settings);
        break;
      case 'zombie': {
        const zombie = service.restarted({ ...settings, clock: steppingClock(1_900_000_000_000) });
        seen.push(...(await Promise.all([zombie.deliver(batch), service.deliver(batch)])).flat());
        committed = Math.max(committed, to);
        return;
      }
      case 'none':
        break;
    }
    const before = service.published.length;
    const isDone = await Promise.race([
      service.deliver(batch).then(() => true),
      service.crashed.then(() => false),
    ]);
    seen.push(...service.published.slice(before));
    service.store.appendFaults.length = 0;
    service.publishFaults.length = 0;
    if (isDone) committed = Math.max(committed, to);
    else service = service.restarted(settings);
  };
  for (const step of plan.deliveries) await next(step);
  while (committed < log.messages.length) await next({ back: 0, count: 5, fault: 'none' });
  await service.snapshots?.flush();
  return { seen, service };
}

describe('whatever befalls the reading of one partition', () => {
  it('records each accepted command once, answers each, and says the same whenever it says it', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, async (plan) => {
        const { log, model } = prepare(plan);

        const { seen, service } = await run(plan, log);

        // The store has what the model has, in order, without gap or repeat.
        for (const device of DEVICES) {
          const events = service.storage.streams.get(`deviceState-${device}`) ?? [];
          expect(events.map(({ revision }) => revision)).toEqual(events.map((_, index) => index));
          const versions = events.map(
            ({ data }) => (JSON.parse(data.toString()) as { version: number }).version,
          );
          expect([...new Set(versions)]).toEqual(model.recordedVersions(device));
          const shown = await service.restarted(settingsOf(plan)).reader.get(device);
          const state = shown === null ? null : (JSON.parse(shown.document) as { state: object }).state;
          expect(state).toEqual(model.stateOf(device));
        }
        const ids = commandIds(service.storage);
        const runs = ids.filter((id, index) => id !== ids[index - 1]);
        expect(new Set(runs).size).toBe(runs.length);

        // Whatever was sent more than once was the same each time.
        const texts = new Map<string, string>();
        for (const message of seen) {
          const id = header(message, 'ce_id') ?? '';
          expect(exact(message)).toBe(texts.get(id) ?? exact(message));
          texts.set(id, exact(message));
        }
        // Each command has an answer, and the right one.
        for (const [index, message] of log.messages.entries()) {
          const [outcome] = await service.restarted(settingsOf(plan)).deliver([message]);
          if (outcome === undefined) throw new Error('a command has no answer');
          const { code, version } = documentOf(outcome);
          expect(code ?? version).toBe(model.answers[index]);
          expect(exact(outcome)).toBe(texts.get(header(outcome, 'ce_id') ?? ''));
        }
      }),
      { numRuns: 400 },
    );
  });
});
