import { describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { Metrics } from '../../../src/observability/metrics.js';

describe('what is told of retries', () => {
  it('is one line for each step, however many devices try again, and a count of all', async () => {
    const lines: { level: number; step: string }[] = [];
    const write = (line: string): void => {
      lines.push(JSON.parse(line) as (typeof lines)[number]);
    };
    const metrics = new Metrics(pino({ level: 'debug' }, { write }));
    for (let device = 0; device < 100; device++) metrics.retrying('load', new Error('away'), 50);
    metrics.retrying('append', new Error('away'), 50);

    const told = lines.filter(({ level }) => level === pino.levels.values['warn']);
    expect(told.map(({ step }) => step)).toEqual(['load', 'append']);
    expect(lines).toHaveLength(101);
    expect(await metrics.registry.metrics()).toContain('replica_retries_total{step="load"} 100');
  });
});

describe('how many messages of a partition wait', () => {
  it('is told no more when another instance has the partition', async () => {
    const metrics = new Metrics(pino({ level: 'silent' }));
    metrics.lagging('state.update', 0, 7);
    metrics.lagging('state.update', 1, 8);
    metrics.released('state.update', 0);
    metrics.released('state.get', 0);
    const told = (await metrics.registry.metrics())
      .split('\n')
      .filter((line) => /^replica_lag_messages/.test(line));
    expect(told).toEqual(['replica_lag_messages{topic="state.update",partition="1"} 8']);
  });
});
