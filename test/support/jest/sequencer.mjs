import sequencer from '@jest/test-sequencer';
import { relative, sep } from 'node:path';

const Sequencer = sequencer.default ?? sequencer;
// The simulation computes while the suites after it mostly wait.
const ORDER = ['unit', 'contracts', 'integration', 'simulation', 'e2e', 'failure'];

/** Fast suites first: what is broken in the core shows before the servers' suites run. */
export default class LayerSequencer extends Sequencer {
  sort(tests) {
    return [...super.sort(tests)].sort((one, other) => layerOf(one) - layerOf(other));
  }
}

function layerOf(test) {
  const [, layer] = relative(test.context.config.rootDir, test.path).split(sep);
  const position = ORDER.indexOf(layer);
  return position === -1 ? ORDER.length : position;
}
