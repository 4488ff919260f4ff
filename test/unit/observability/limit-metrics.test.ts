import { describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { LimitMetrics } from '../../../src/observability/limit-metrics.js';

describe('what the limits tell', () => {
  it('is counted each time, and logged now and then for each', async () => {
    const lines: Record<string, unknown>[] = [];
    const write = (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>);
    const registry = new Registry();
    let now = 5;
    const metrics = new LimitMetrics(registry, pino({ level: 'warn' }, { write }), () => now);
    for (let time = 0; time < 1000; time++) metrics.limited('http', 'rate', 'component panel');
    metrics.limited('mqtt', 'rate', `device ${'x'.repeat(10_000)}`);
    now += 10_000;
    metrics.limited('http', 'rate', 'component other');
    expect(
      lines.map(({ edge, limit, who, othersSinceLastLine }) => [edge, limit, who, othersSinceLastLine]),
    ).toEqual([
      ['http', 'rate', 'component panel', 0],
      ['mqtt', 'rate', `device ${'x'.repeat(293)}`, 0],
      ['http', 'rate', 'component other', 999],
    ]);
    const text = await registry.metrics();
    expect(text).toContain('replica_limited_total{edge="http",limit="rate"} 1001');
    expect(text).toContain('replica_limited_total{edge="mqtt",limit="rate"} 1');
  });
});
