import { afterEach, describe, expect, it } from '@jest/globals';
import { Controller, Module, UseFilters, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { of, throwError } from 'rxjs';
import { BatchFailureFilter, CommandIntake } from '../../../src/adapters/bus/command-intake.strategy.js';
import { createInProcessBus } from '../../../src/adapters/bus/in-process/in-process-bus.js';
import { type Bus, type CommandBatch } from '../../../src/application/ports/bus.js';
import { replyTo, until } from '../../contracts/bus.contract.js';

let bus: Bus;
let calls: string[];
let failure: Error | undefined;

async function answer(batch: CommandBatch): Promise<void> {
  await bus.publish(batch.messages.map((command) => replyTo(command, '{}', false)));
}

@Controller()
class Commands {
  @EventPattern('update')
  async update(@Payload() batch: CommandBatch): Promise<void> {
    calls.push(`update ${batch.messages.length}`);
    if (failure !== undefined) throw failure;
    await answer(batch);
  }

  @MessagePattern('get')
  async get(@Payload() batch: CommandBatch): Promise<unknown> {
    calls.push(`get ${batch.messages.length}`);
    await answer(batch);
    return of(1, 2, 3);
  }

  @EventPattern('delete')
  remove(@Payload() _batch: CommandBatch) {
    calls.push('delete');
    return failure === undefined ? of() : throwError(() => failure);
  }
}

@Controller()
@UseFilters(new BatchFailureFilter())
class MoreCommands {
  @EventPattern('update')
  async update(@Payload() _batch: CommandBatch): Promise<void> {
    calls.push('more');
    if (failure !== undefined) throw failure;
  }
}

@Controller()
class Stranger {
  @EventPattern('upsert')
  async upsert(@Payload() _batch: CommandBatch): Promise<void> {
    // never called
  }
}

describe('The command intake in a Nest application', () => {
  let close: (() => Promise<void>) | undefined;

  afterEach(async () => {
    await close?.();
    close = undefined;
  });

  async function start(...controllers: Type[]): Promise<CommandIntake> {
    @Module({ controllers })
    class TestModule {}
    calls = [];
    failure = undefined;
    bus = createInProcessBus({ requestTimeoutMs: 3_000, shutdownMs: 100 });
    await bus.connect();
    const strategy = new CommandIntake(bus);
    const app = await NestFactory.createMicroservice(TestModule, {
      strategy,
      logger: false,
      abortOnError: false,
    });
    close = () => app.close();
    await app.listen();
    return strategy;
  }

  const request = (channel: 'update' | 'get' | 'delete') =>
    bus.request(channel, 'lamp', Buffer.from('{}'), {});

  it('hands whole batches to event and message handlers', async () => {
    await start(Commands);
    await Promise.all([request('update'), request('update'), request('get')]);
    expect(calls.sort()).toEqual(['get 1', 'update 2']);
  });

  it('calls every handler of a channel', async () => {
    await start(Commands, MoreCommands);
    await request('update');
    expect(calls.sort()).toEqual(['more', 'update 1']);
  });

  it('delivers a batch again when its handler throws, and says what the filter lets through', async () => {
    await start(MoreCommands);
    failure = new Error('the store is away');
    request('update').catch(() => undefined);
    await until(() => calls.length >= 2);
    expect(bus.health()).toContain('the store is away');
    failure = undefined;
    await until(() => bus.health() === null);
  });

  it("says what Nest's own filter leaves of a failure", async () => {
    await start(Commands);
    failure = new Error('the store is away');
    const reply = request('update');
    await until(() => calls.length >= 2);
    expect(bus.health()).toContain('Internal server error');
    failure = undefined;
    await reply;
  });

  it('takes an Observable that fails for a failure, and one that is empty for success', async () => {
    await start(Commands);
    failure = new Error('broken');
    request('delete').catch(() => undefined);
    await until(() => calls.length >= 2 && bus.health() !== null);
    failure = undefined;
    await until(() => bus.health() === null);
  });

  it('stops the bus when the application closes', async () => {
    const strategy = await start(Commands);
    expect(strategy.unwrap<Bus>()).toBe(bus);
    expect(() => strategy.on('anything')).toThrow(/no event/);
    await close?.();
    close = undefined;
    expect(bus.health()).toBe('the bus is stopped');
  });

  it('does not start with a handler for a channel that does not exist', async () => {
    await expect(start(Stranger)).rejects.toThrow("No command channel 'upsert'");
  });
});
