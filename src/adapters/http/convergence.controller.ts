import { Controller, Get, Query, Res } from '@nestjs/common';
import { ApiOperation, ApiQuery, ApiResponse, ApiTags } from '@nestjs/swagger';
import { type FastifyReply } from 'fastify';
import { fleetConvergence, readPeriod } from '../../application/fleet-convergence.js';
import { CONVERGENCE_QUERIES, FleetConvergence } from './convergence.openapi.js';
import { ApiRefusals } from './parameters.openapi.js';
import { FleetAnswers, POSITION_HEADERS } from './fleet-answers.js';
import { sendRefusal } from './replies.js';

/** How the devices come to be as they are wanted. */
@ApiTags('fleet')
@ApiRefusals()
@Controller('fleet')
export class ConvergenceController {
  constructor(private readonly answers: FleetAnswers) {}

  @Get('convergence')
  @ApiOperation({ summary: 'How long desired changes took, how they ended, and what is out of sync now' })
  @ApiQuery(CONVERGENCE_QUERIES.from)
  @ApiQuery(CONVERGENCE_QUERIES.to)
  @ApiResponse({ status: 200, type: FleetConvergence, headers: POSITION_HEADERS })
  async convergence(@Query() sent: Record<string, unknown>, @Res() reply: FastifyReply): Promise<void> {
    // One that is not known is refused: to leave it out would answer another question than was asked.
    const unknown = Object.keys(sent).find((name) => name !== 'from' && name !== 'to');
    if (unknown !== undefined) {
      return sendRefusal(reply, { code: 400, message: `Unknown parameter: '${unknown}'` });
    }
    const now = Date.now();
    const period = readPeriod(sent, now);
    if (!period.ok) return sendRefusal(reply, period.refusal);
    await this.answers.answer(reply, (model) => fleetConvergence(model, period.value, now));
  }
}
