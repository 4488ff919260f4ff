import { Controller, Get, Req, Res } from '@nestjs/common';
import { ApiHeader, ApiOperation, ApiQuery, ApiResponse, ApiTags } from '@nestjs/swagger';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { FLEET_KINDS } from '../../application/render-commands.js';
import { Answers } from './answers.js';
import { ApiRefusals } from './parameters.openapi.js';
import { DEFAULT_KINDS, FleetFollowers } from './fleet-followers.js';
import { sendRefusal } from './replies.js';

@ApiTags('fleet')
@ApiRefusals()
@Controller('fleet')
export class FleetEventsController {
  constructor(
    private readonly answers: Answers,
    private readonly followers: FleetFollowers,
  ) {}

  @Get('events')
  @ApiOperation({
    summary: 'Follow all devices: their outputs as server-sent events, in the order of the log',
  })
  @ApiQuery({
    name: 'after',
    required: false,
    description: 'An id of this stream, or a position of the log, to go on after; 0: from the start',
    schema: { type: 'string' },
  })
  @ApiQuery({
    name: 'prefix',
    required: false,
    description: 'Of the device ids',
    schema: { type: 'string', pattern: '^[$A-Za-z0-9:._/-]*$' },
  })
  @ApiQuery({
    name: 'kinds',
    required: false,
    description: `Of ${FLEET_KINDS.join(',')}; default ${DEFAULT_KINDS.join(',')}`,
    schema: { type: 'string' },
  })
  @ApiHeader({
    name: 'Last-Event-ID',
    required: false,
    description: 'Go on after this event, without a gap; before `after`',
  })
  @ApiResponse({
    status: 200,
    description: 'Events `accepted`, `delta`, `documents`, `delete-accepted`, `broken`, and `end`',
    content: { 'text/event-stream': {} },
  })
  async events(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    try {
      await this.followers.follow(request, reply);
    } catch (error) {
      sendRefusal(reply, this.answers.faultOf(error));
    }
  }
}
