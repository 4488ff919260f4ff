import { describe, it } from '@jest/globals';
import { surviveKills } from './read-model-kills.js';

const KILLS = 12;

describe('The read model of a process that is killed while it projects and rebuilds', () => {
  it('shows no device otherwise than its events did, goes on, and ends like one that is made anew', async () => {
    await surviveKills(KILLS, (dataDir) => ({ kind: 'sqlite', dataDir }));
  });
});
