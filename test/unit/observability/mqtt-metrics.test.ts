import { describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { Metrics } from '../../../src/observability/metrics.js';

describe('what is told of MQTT connections', () => {
  const logged = (tell: (metrics: Metrics) => void): string => {
    let text = '';
    tell(new Metrics(pino({ level: 'trace' }, { write: (line: string) => (text += line) })));
    return text;
  };

  it('shows nothing of the packet that a connection failed by', () => {
    const password = Buffer.from('dsr_secret');
    const error = Object.assign(new Error('Invalid protocol'), { info: { cmd: 'connect', password } });
    const text = logged(({ mqtt }) => mqtt.mqttFailed('lamp-1', error));
    expect(text).toContain('"reason":"Invalid protocol"');
    expect(text).toContain('"clientId":"lamp-1"');
    expect(text).not.toContain([...password].join(','));
    expect(text).not.toContain('connect"');
  });

  it('shows no more than the beginning of what a client has chosen', () => {
    const long = 'x'.repeat(60_000);
    const text = logged(({ mqtt }) => {
      mqtt.mqttRefused(long, long);
      mqtt.mqttFailed(long, new Error('Away'));
    });
    expect(text.length).toBeLessThan(2000);
  });
});
