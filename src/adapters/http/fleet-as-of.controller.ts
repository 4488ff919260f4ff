import { Controller, Post, Req, Res } from '@nestjs/common';
import { ApiBody, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { FORBIDDEN } from '../../application/access/rules.js';
import { asOfDocument, readAsOf } from '../../application/as-of.js';
import { TimeTravel } from '../../application/time-travel.js';
import { mayOnAll } from './access.js';
import { Answers } from './answers.js';
import { ApiRefusals } from './parameters.openapi.js';
import { AsOf, AsOfRequest } from './time-travel.openapi.js';

/** Questions about many devices. */
@ApiTags('past')
@ApiRefusals()
@Controller('fleet')
export class FleetAsOfController {
  constructor(
    private readonly answers: Answers,
    private readonly timeTravel: TimeTravel,
  ) {}

  @Post('as-of')
  @ApiOperation({ summary: 'The states of many devices as they were at a time' })
  @ApiBody({ type: AsOfRequest })
  @ApiResponse({ status: 200, type: AsOf })
  async asOf(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    await this.answers.text(reply, async (gone) => {
      const asked = readAsOf(Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0));
      if (!asked.ok) return asked;
      if (!mayOnAll(request, 'history', asked.value.deviceIds)) return { ok: false, refusal: FORBIDDEN };
      const then = await this.timeTravel.asOf(asked.value, gone);
      return then.ok ? { ok: true, value: asOfDocument(then.value) } : then;
    });
  }
}
