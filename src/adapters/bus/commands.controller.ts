import { Controller, UseFilters } from '@nestjs/common';
import { EventPattern, Payload } from '@nestjs/microservices';
import { type CommandBatch } from '../../application/ports/bus.js';
import { ProcessCommands } from '../../application/process-commands.js';
import { AnswerGets } from '../../application/read-replica.js';
import { BatchFailureFilter } from './command-intake.strategy.js';

/** Binds the bus's channels to the use cases. A handler gets a whole batch, and resolves when it may be committed. */
@Controller()
@UseFilters(new BatchFailureFilter())
export class CommandsController {
  constructor(
    private readonly commands: ProcessCommands,
    private readonly gets: AnswerGets,
  ) {}

  @EventPattern('update')
  update(@Payload() batch: CommandBatch): Promise<void> {
    return this.commands.process(batch);
  }

  @EventPattern('delete')
  delete(@Payload() batch: CommandBatch): Promise<void> {
    return this.commands.process(batch);
  }

  @EventPattern('get')
  get(@Payload() batch: CommandBatch): Promise<void> {
    return this.gets.process(batch);
  }
}
