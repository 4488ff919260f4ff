import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CommandQueue } from '../../../src/adapters/bus/in-process/command-queue.js';
import {
  recordBytes,
  splitIntoRequests,
  type Addressed,
} from '../../../src/adapters/bus/kafka/request-sizes.js';
import { bytesOf, splitIntoUnits } from '../../../src/adapters/bus/work-units.js';
import { type CommandMessage } from '../../../src/application/ports/bus.js';

const sizes = fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 60 });

function command(bytes: number, offset = 0): CommandMessage {
  const position = { topic: 'state.update', partition: 0, offset, timestamp: 0, log: 'l' };
  return { channel: 'update', key: null, value: Buffer.alloc(bytes), headers: {}, position };
}

describe('Units of work', () => {
  it('hold all messages in order, within the limits unless one message alone is over', () => {
    fc.assert(
      fc.property(
        sizes,
        fc.integer({ min: 1, max: 10 }),
        fc.integer({ min: 1, max: 120 }),
        (all, maxBatchCount, maxBatchBytes) => {
          const messages = all.map((size, index) => command(size, index));
          const units = splitIntoUnits(messages, { maxBatchCount, maxBatchBytes });
          expect(units.flat()).toEqual(messages);
          for (const unit of units) {
            expect(unit.length).toBeGreaterThan(0);
            expect(unit.length).toBeLessThanOrEqual(maxBatchCount);
            const bytes = unit.reduce((sum, each) => sum + bytesOf(each), 0);
            expect(unit.length === 1 || bytes <= maxBatchBytes).toBe(true);
          }
        },
      ),
    );
  });
});

describe('Requests to Kafka', () => {
  it('hold all messages in order, within the limits for each partition and in all', () => {
    const messages = fc.array(
      fc.record({ size: fc.integer({ min: 0, max: 200 }), partition: fc.integer({ min: 0, max: 2 }) }),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(messages, (all) => {
        const addressed: Addressed[] = all.map(({ size, partition }) => {
          const message = { key: 'k', value: 'x'.repeat(size) };
          return { topic: 't', partition, message, bytes: recordBytes(message) };
        });
        const requests = splitIntoRequests(addressed, { partitionBytes: 400, totalBytes: 700 });
        expect(requests.flat()).toEqual(addressed);
        for (const request of requests) {
          for (const partition of [0, 1, 2, undefined]) {
            const own = request.filter((each) => partition === undefined || each.partition === partition);
            const bytes = own.reduce((sum, { message }) => sum + recordBytes(message), 0);
            expect(request.length === 1 || bytes <= (partition === undefined ? 700 : 400)).toBe(true);
          }
        }
      }),
    );
  });

  it('count multi-byte text and headers by their bytes', () => {
    const plain = recordBytes({ key: 'k', value: '' });
    expect(recordBytes({ key: 'k', value: 'ä€' })).toBe(plain + 5);
    expect(recordBytes({ key: 'k', value: '', headers: { h: 'ää' } })).toBeGreaterThanOrEqual(plain + 5);
    expect(recordBytes({ key: null, value: null })).toBeGreaterThan(0);
  });
});

describe('The queue of the in-process bus', () => {
  it('refuses what is over its count or bytes, and takes again when it was emptied', () => {
    const queue = new CommandQueue('update', { maxQueueCount: 3, maxQueueBytes: 100 });
    expect([40, 40, 40, 10, 1].map((size) => queue.push(command(size)))).toEqual([
      true,
      true,
      false,
      true,
      false,
    ]);
    expect(queue.take({ maxBatchCount: 2, maxBatchBytes: 1000 })).toHaveLength(2);
    expect(queue.count).toBe(1);
    expect(queue.push(command(80))).toBe(true);
    expect(queue.take({ maxBatchCount: 10, maxBatchBytes: 50 })).toHaveLength(1);
    expect(queue.take({ maxBatchCount: 10, maxBatchBytes: 50 })).toHaveLength(1);
    expect(queue.take({ maxBatchCount: 10, maxBatchBytes: 50 })).toEqual([]);
  });
});
