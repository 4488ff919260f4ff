import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { MemoryEventStore } from '../../../src/adapters/event-store/memory/memory-event-store.js';
import { type Answer } from '../../../src/application/moments.js';
import { type Reply } from '../../../src/application/ports/bus.js';
import { readUpdate } from '../../../src/application/read-command.js';
import { Replicas } from '../../../src/application/replicas.js';
import { readRevert, sendRevert } from '../../../src/application/revert.js';
import { TimeTravel } from '../../../src/application/time-travel.js';
import { equal, type JsonObject, type JsonValue } from '../../../src/replica/json.js';
import { DEFAULT_LIMITS } from '../../../src/replica/limits.js';
import { emptyReplica } from '../../../src/replica/replica.js';
import { recordStep } from '../../support/recorded-history.js';
import { RecordingObserver } from '../../support/replica-process.js';
import { history, type RandomStep } from '../support/arbitraries.js';
import { applyMergePatch } from '../support/merge-patch.js';
import { type Step, update } from '../support/scenario.js';

/** One device with its store, and commands sent to it. */
class Device {
  readonly replica = emptyReplica('d');
  private readonly store = new MemoryEventStore();
  private readonly travel = new TimeTravel(this.store, new Replicas(this.store, new RecordingObserver(), 0));
  private commands = 0;
  sends = 0;
  /** What happens between the making of a revert and its arrival. */
  meanwhile: () => Promise<unknown> = () => Promise.resolve();

  async record(step: RandomStep | Step): Promise<boolean> {
    return (await recordStep(this.store, this.replica, this.commands++, step)) !== null;
  }

  revert(to: number, canRetry = true): Promise<Answer<Reply>> {
    return sendRevert(
      () => this.travel.revert('d', { to }),
      (body) => this.send(body),
      canRetry,
    );
  }

  private async send(body: Buffer): Promise<Reply> {
    this.sends++;
    await this.meanwhile();
    const read = readUpdate(body, DEFAULT_LIMITS);
    if (!read.ok) throw new Error(read.refusal.message);
    const { state } = read.request;
    const before = this.replica.desired;
    const patched = applyMergePatch(before, (state as JsonObject)['desired'] as JsonValue);
    const accepted = await this.record({ kind: 'update', ...read.request });
    // The service's own merge and RFC 7396 are of one mind.
    if (accepted) expect(equal(patched ?? {}, this.replica.desired)).toBe(true);
    return { accepted, value: body };
  }
}

describe('A revert', () => {
  it('makes desired exactly what it was, whatever came since, and leaves reported', async () => {
    await fc.assert(
      fc.asyncProperty(history, fc.nat(), async (steps, pick) => {
        const device = new Device();
        const { replica } = device;
        const then = new Map<number, JsonObject>();
        for (const step of steps) {
          const accepted = await device.record(step);
          if (accepted && replica.exists) then.set(replica.version, structuredClone(replica.desired));
        }
        if (then.size === 0) return;
        const [to, desired] = [...then][pick % then.size] as [number, JsonObject];
        const { version } = replica;
        const reported = structuredClone(replica.reported);
        const answer = await device.revert(to);
        expect(answer).toMatchObject({ ok: true, value: { accepted: true } });
        if (!equal(replica.desired, desired)) expect(replica.desired).toEqual(desired);
        expect(replica.reported).toEqual(reported);
        expect([replica.version, device.sends]).toEqual([version + 1, 1]);
      }),
      { numRuns: 500 },
    );
  });

  async function changed(): Promise<Device> {
    const device = new Device();
    await device.record(update({ desired: { a: 1, b: { c: 1 } } }));
    await device.record(update({ desired: { a: 2, b: { d: 2 } } }));
    return device;
  }

  it('is made anew on an update that came between, whose keys it removes too', async () => {
    const device = await changed();
    let left = 2;
    device.meanwhile = async () => {
      if (left-- > 0) await device.record(update({ desired: { [`late-${left}`]: true, b: 5 } }));
    };
    expect(await device.revert(1)).toMatchObject({ ok: true, value: { accepted: true } });
    expect(device.replica.desired).toEqual({ a: 1, b: { c: 1 } });
    expect([device.replica.version, device.sends]).toEqual([5, 3]);
  });

  it('is made anew after a delete that came between', async () => {
    const device = await changed();
    let isFirst = true;
    device.meanwhile = async () => {
      if (isFirst) {
        await device.record({ kind: 'delete' });
        await device.record(update({ reported: { r: 1 } }));
      }
      isFirst = false;
    };
    expect(await device.revert(1)).toMatchObject({ ok: true, value: { accepted: true } });
    expect(device.replica.desired).toEqual({ a: 1, b: { c: 1 } });
  });

  it('gives up after eight tries, and after one where the client named the version', async () => {
    for (const [canRetry, sends] of [
      [true, 8],
      [false, 1],
    ] as const) {
      const device = await changed();
      device.meanwhile = () => device.record(update({ reported: { at: device.sends } }));
      expect(await device.revert(1, canRetry)).toMatchObject({ ok: true, value: { accepted: false } });
      expect(device.sends).toBe(sends);
      expect(device.replica.desired).toEqual({ a: 2, b: { c: 1, d: 2 } });
    }
  });

  it('is not sent again where nothing came between: the refusal had another reason', async () => {
    const reply = { accepted: false, value: Buffer.from('{"code":413}') };
    let sends = 0;
    const make = () => Promise.resolve({ ok: true as const, value: { version: 2, body: reply.value } });
    const send = () => {
      sends++;
      return Promise.resolve(reply);
    };
    expect(await sendRevert(make, send, true)).toEqual({ ok: true, value: reply });
    expect(sends).toBe(1);
  });
});

describe('The request of a revert', () => {
  const read = (text: string | Buffer) => readRevert(Buffer.from(text));

  it('is read as strictly as a command', () => {
    expect(read('{"to":3,"clientToken":"t"}')).toEqual({ ok: true, value: { to: 3, clientToken: 't' } });
    const refused = (code: number, message: unknown) => ({ ok: false, refusal: { code, message } });
    expect(read('{"to":1,"to":2}')).toEqual(refused(400, "Duplicate key: 'to'"));
    expect(read(Buffer.from('{"to":1,"clientToken":"\xff"}', 'latin1'))).toEqual(
      refused(415, 'The request is not UTF-8'),
    );
    expect(read('{"to":1,"clientToken":"\\ud800"}')).toMatchObject({ ok: false, refusal: { code: 400 } });
    for (const text of ['', '[]', '{', '{}', '{"to":"1"}', '{"to":-1}', '{"to":1.5}', '{"to":1e400}']) {
      expect(read(text)).toMatchObject({ ok: false, refusal: { code: 400 } });
    }
    expect(read(`{"to":1,"clientToken":"${'é'.repeat(33)}"}`)).toEqual(refused(400, 'Invalid clientToken'));
  });
});
