import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Confirmation, moment } from '../../../src/adapters/bus/kafka/confirmation.js';

const SESSION_MS = 10_000;

describe('what a member of a group knows of its partitions', () => {
  let run = 0;
  let wall = 0;
  let confirmation: Confirmation;
  const pass = (ms: number): void => {
    run += ms;
    wall += ms;
  };

  beforeEach(() => {
    run = 50;
    wall = 1_700_000_000_000;
    jest.spyOn(performance, 'now').mockImplementation(() => run);
    jest.spyOn(Date, 'now').mockImplementation(() => wall);
    confirmation = new Confirmation(SESSION_MS);
  });

  afterEach(() => {
    jest.restoreAllMocks();
  });

  it('holds for half of the session after a commit was sent that was taken', () => {
    expect(confirmation.holds).toBe(false);
    const sent = moment();
    pass(1000);
    confirmation.taken(sent);
    pass(3999);
    expect(confirmation.holds).toBe(true);
    pass(1);
    expect(confirmation.holds).toBe(false);
  });

  it('ends while the machine sleeps, though its own clock stands still', () => {
    confirmation.taken(moment());
    wall += SESSION_MS / 2;
    expect(confirmation.holds).toBe(false);
  });

  it('is not made longer by a wall clock that is set back', () => {
    confirmation.taken(moment());
    pass(4999);
    wall -= 3_600_000;
    expect(confirmation.holds).toBe(true);
    run += 1;
    expect(confirmation.holds).toBe(false);
  });

  it('counts from the commit that was sent last, in whatever order they were answered', () => {
    const first = moment();
    pass(3000);
    const second = moment();
    confirmation.taken(second);
    confirmation.taken(first);
    pass(4999);
    expect(confirmation.holds).toBe(true);
  });

  it('is forgotten when the group is joined, with the commit that asks', async () => {
    confirmation.taken(moment());
    let asked = 0;
    const never = confirmation.ask(() => {
      asked++;
      return new Promise(() => undefined);
    });
    expect(confirmation.ask(async () => undefined)).toBe(never);
    confirmation.forget();
    expect(confirmation.holds).toBe(false);
    await confirmation.ask(async () => {
      asked++;
    });
    expect(asked).toBe(2);
  });
});
