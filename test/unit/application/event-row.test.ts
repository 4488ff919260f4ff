import { describe, expect, it } from '@jest/globals';
import {
  CSV_HEADER,
  EVENT_COLUMNS,
  eventRow,
  rowToCsv,
  rowToJson,
} from '../../../src/application/event-row.js';
import { encodeData, encodeMetadata } from '../../../src/replica/stored.js';
import { type Origin, type ReplicaEvent } from '../../../src/replica/events.js';

const origin: Origin = {
  commandId: '00000000-0000-4000-8000-000000000001',
  fingerprint: 'f',
  source: { topic: 'state.update', partition: 3, offset: 81, timestamp: 1_777_593_600_001, log: 'l' },
  messageId: 'm "1"',
  correlationId: 'c,1',
};

function rowOf(event: ReplicaEvent, from: Origin = origin, stream = 'deviceState-a.b') {
  return eventRow({
    id: '00000000-0000-4000-8000-000000000002',
    stream,
    revision: 6,
    position: 2n ** 62n + 1n,
    recordedAt: 1_777_593_600_003,
    type: event.type,
    data: encodeData('a.b', event),
    metadata: encodeMetadata(from),
  });
}

describe('a row', () => {
  it('has all columns, in their order, with null for what there is not', () => {
    const row = rowOf({
      type: 'DesiredStateChanged',
      version: 7,
      timestamp: 1_777_593_600_002,
      state: { x: null, é: 'a"b' },
      clientToken: 'ui\n7',
    });
    if (row === null) throw new Error('no row');
    expect(Object.keys(row).sort()).toEqual(EVENT_COLUMNS.map(([name]) => name).sort());
    expect(rowToJson(row)).toBe(
      '{"position":4611686018427387905,"deviceId":"a.b","version":7,"revision":6,"type":"DesiredStateChanged",' +
        '"section":"desired","state":{"x":null,"é":"a\\"b"},"scope":null,"timestamp":1777593600002,' +
        '"recordedAt":1777593600003,"sourceTimestamp":1777593600001,"clientToken":"ui\\n7","messageId":"m \\"1\\"",' +
        '"correlationId":"c,1","topic":"state.update","partition":3,"offset":81,' +
        '"commandId":"00000000-0000-4000-8000-000000000001","eventId":"00000000-0000-4000-8000-000000000002"}',
    );
    expect(CSV_HEADER.split(',')).toEqual(EVENT_COLUMNS.map(([name]) => name));
    expect(rowToCsv(row)).toBe(
      '4611686018427387905,a.b,7,6,DesiredStateChanged,desired,"{""x"":null,""é"":""a\\""b""}",,' +
        '2026-05-01T00:00:00.002Z,2026-05-01T00:00:00.003Z,2026-05-01T00:00:00.001Z,"ui\n7","m ""1""","c,1",' +
        'state.update,3,81,00000000-0000-4000-8000-000000000001,00000000-0000-4000-8000-000000000002',
    );
  });

  it('has no state where a section was removed, or the replica deleted: the type and the section tell', () => {
    const common = { version: 7, timestamp: 1 };
    expect(rowOf({ type: 'ReportedStateChanged', ...common, state: null, scope: 'all' })).toMatchObject({
      section: 'reported',
      state: null,
      scope: 'all',
      clientToken: null,
    });
    expect(rowOf({ type: 'ReplicaDeleted', ...common })).toMatchObject({
      type: 'ReplicaDeleted',
      section: null,
      state: null,
      scope: null,
    });
    expect(rowOf({ type: 'ReplicaDeleted', ...common }, origin, 'other-stream')).toBeNull();
  });
});
