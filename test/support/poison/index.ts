import { type PoisonCase } from './case.js';
import { jsonTexts, nesting } from './json-texts.js';
import { naughtyTexts } from './strings.js';
import { badValues } from './values.js';

export { type Expected, type PoisonCase } from './case.js';
export { ILLEGAL_IDS, LEGAL_IDS } from './ids.js';

/** Some thousands of update requests, bad ones and those that only look so, each with what must become of it. */
export function poisonCases(): PoisonCase[] {
  return [...jsonTexts(), ...nesting(), ...badValues(), ...naughtyTexts()];
}
