import { describe, expect, it } from '@jest/globals';
import { CommandLog } from '../../support/command-log.js';
import { answers, documentOf, exact, header, recorded } from '../../support/outputs.js';
import { ReplicaProcess } from '../../support/replica-process.js';

const temp = (value: number, extra: object = {}) => ({ state: { reported: { temp: value } }, ...extra });
const id = (name: string) => ({ 'message-id': name });

describe('a message id', () => {
  it('has one effect within a batch, across batches and after a restart, and one answer', async () => {
    const log = new CommandLog();
    const service = new ReplicaProcess({ publishDocuments: false });
    log.send('a', temp(1), id('m1'));
    log.send('a', temp(1), id('m1'));
    const [first, delta, ...repeats] = await service.deliver(log.batch());
    log.send('a', temp(1), { 'message-id': Buffer.from('m1') });
    const later = await service.deliver(log.batch(2));
    log.send('a', temp(1), id('m1'));
    const restarted = await service.restarted({ publishDocuments: false }).deliver(log.batch(3));

    const once = [first, delta].flatMap((message) => (message === undefined ? [] : [exact(message)]));
    expect(repeats.map(exact)).toEqual(once);
    expect(later.map(exact)).toEqual(once);
    expect(restarted.map(exact)).toEqual(once);
    expect(recorded(service.storage)).toEqual(['a/0 ReportedStateChanged v1']);
  });

  it('with another body is refused', async () => {
    const log = new CommandLog();
    log.send('a', temp(1), id('m1'));
    log.send('a', temp(2), id('m1'));
    const service = new ReplicaProcess({ publishDocuments: false });

    const messages = await service.deliver(log.batch());

    expect(answers(messages)).toEqual(['a update.accepted 1', 'a update.rejected 409']);
    expect(documentOf(messages.at(-1) ?? fail()).message).toContain("'m1'");
  });

  it('is another on another device, and on another channel with the same bytes it is refused', async () => {
    const service = new ReplicaProcess({ publishDocuments: false });
    const log = new CommandLog();
    log.send('a', temp(1), id('m1'));
    log.send('b', temp(1), id('m1'));
    expect(answers(await service.deliver(log.batch()))).toEqual([
      'a update.accepted 1',
      'b update.accepted 1',
    ]);
    const deletes = new CommandLog('delete');
    deletes.send('a', null, id('m1'));
    expect(answers(await service.deliver(deletes.batch()))).toEqual(['a delete.rejected 409']);
  });

  it('of a refused command stays free for another try', async () => {
    const log = new CommandLog();
    log.send('a', temp(1, { version: 1 }), id('m1'));
    log.send('a', temp(0));
    log.send('a', temp(1, { version: 1 }), id('m1'));
    log.send('a', temp(1, { version: 1 }), id('m1'));
    const service = new ReplicaProcess({ publishDocuments: false });

    expect(answers(await service.deliver(log.batch()))).toEqual([
      'a update.rejected 409',
      'a update.accepted 1',
      'a update.accepted 2',
      'a update.accepted 2',
    ]);
  });

  it('does not make two refusals one event', async () => {
    const log = new CommandLog();
    log.send('a', temp(1, { version: 1 }), id('m1'));
    log.send('a', temp(1, { version: 1 }), id('m1'));

    const messages = await new ReplicaProcess().deliver(log.batch());

    expect(new Set(messages.map((message) => header(message, 'ce_id'))).size).toBe(2);
  });

  it.each(['', ' ', 'a b', 'ü', 'x'.repeat(129), 'tab\t'])('that is illegal is refused: %j', async (name) => {
    const log = new CommandLog();
    log.send('a', temp(1), id(name));

    const messages = await new ReplicaProcess().deliver(log.batch());

    expect(answers(messages)).toEqual(['a update.rejected 400']);
    expect(documentOf(messages[0] ?? fail()).message).toContain('Invalid message-id');
  });

  it('is remembered over 256 commands and no further', async () => {
    const log = new CommandLog();
    const service = new ReplicaProcess({ publishDocuments: false });
    log.send('a', temp(-1), id('m1'));
    for (let n = 0; n < 255; n++) log.send('a', temp(n), id(`other-${n}`));
    await service.deliver(log.batch());
    log.send('a', temp(-1), id('m1'));
    expect(answers(await service.deliver(log.batch(256)))).toEqual(['a update.accepted 1']);
    log.send('a', temp(255), id('other-255'));
    log.send('a', temp(-1), id('m1'));

    const messages = await service.deliver(log.batch(257));

    expect(answers(messages)).toEqual(['a update.accepted 257', 'a update.accepted 258']);
    // Every event has an id of its own, though its command's id is the same.
    expect(new Set(service.storage.log.map((event) => event.id)).size).toBe(258);
    // Whatever is read again has the answer that it had.
    const again = await service.restarted({ publishDocuments: false }).deliver(log.batch());
    const versions = answers(again).map((text) => Number(text.split(' ').at(-1)));
    expect(versions).toEqual([...Array.from({ length: 256 }, (_, n) => n + 1), 1, 257, 258]);
    expect(recorded(service.storage)).toHaveLength(258);
  });

  it('that came back after it was forgotten has two answers, each at its place', async () => {
    const log = new CommandLog();
    const options = { publishDocuments: false };
    const service = new ReplicaProcess(options);
    log.send('a', temp(-1), id('m1'));
    for (let n = 0; n < 256; n++) log.send('a', temp(n), id(`other-${n}`));
    log.send('a', temp(-1), id('m1'));
    const first = await service.deliver(log.batch());

    expect((await service.restarted(options).deliver(log.batch(0, 1))).map(exact)).toEqual(
      first.slice(0, 2).map(exact),
    );
    log.send('a', temp(-1), id('m1'));
    expect(answers(await service.deliver(log.batch(258)))).toEqual(['a update.accepted 258']);
  });
});

function fail(): never {
  throw new Error('a message is missing');
}
