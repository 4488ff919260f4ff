import { describe, expect, it } from '@jest/globals';
import { isOfThisMachine } from '../../../src/adapters/http/own-machine.js';

describe('a host', () => {
  it.each([
    '127.0.0.1',
    '127.0.0.1:3000',
    '192.0.2.7:3000',
    '[::1]',
    '[::1]:3000',
    '[::ffff:127.0.0.1]:80',
    'localhost',
    'LocalHost:3000',
    'replica.localhost:3000',
    'localhost.',
  ])('%s is an address, or this machine’s own name', (host) => {
    expect(isOfThisMachine(host)).toBe(true);
  });

  it.each([
    '',
    ':3000',
    'rebound.example',
    'rebound.example:3000',
    'localhost.example',
    '127.0.0.1.example:3000',
    'notlocalhost',
    '::1',
    '[rebound.example]',
    '127.0.0.1@rebound.example',
    'rebound.example:3000:127.0.0.1',
    'localhost rebound.example',
  ])('%s may be anybody’s name', (host) => {
    expect(isOfThisMachine(host)).toBe(false);
  });
});
