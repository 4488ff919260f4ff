import { Rates } from './application/access/rates.js';
import { type Settings } from './config/settings.js';

/** What both ways in, REST and MQTT, share to bound what comes by them: a part of the composition root. */
export interface Limits {
  /** Requests a second of each caller; null: without bounds. */
  readonly callerRates: Rates | null;
  /** Commands a second of each device; null: without bounds. */
  readonly deviceRates: Rates | null;
}

export function makeLimits(settings: Settings): Limits {
  return {
    callerRates: ratesOf(settings.MAX_REQUESTS_PER_SECOND_COUNT),
    deviceRates: ratesOf(settings.MAX_DEVICE_COMMANDS_PER_SECOND_COUNT),
  };
}

function ratesOf(perSecond: number): Rates | null {
  return perSecond === 0 ? null : new Rates(perSecond, () => performance.now());
}
