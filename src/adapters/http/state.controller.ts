import { Controller, Delete, Get, Param, Post, Req, Res } from '@nestjs/common';
import { ApiBody, ApiHeader, ApiOperation, ApiParam, ApiQuery, ApiResponse, ApiTags } from '@nestjs/swagger';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { type Given, readMoment } from '../../application/moments.js';
import { ReadReplica } from '../../application/read-replica.js';
import { TimeTravel } from '../../application/time-travel.js';
import { refusals } from '../../replica/commands.js';
import { isReplicaId } from '../../replica/limits.js';
import { Answers } from './answers.js';
import { DeviceFollowers } from './device-followers.js';
import { sendRefusal } from './replies.js';
import { Accepted, DeltaNow, Deleted, GetAccepted, UpdateRequest } from './documents.openapi.js';
import {
  ApiRefusals,
  DEVICE_ID_PARAM,
  IDEMPOTENCY_KEY,
  IF_MATCH,
  IF_NONE_MATCH,
} from './parameters.openapi.js';
import { AT_QUERY, VERSION_QUERY } from './time-travel.openapi.js';

/** Commands and queries of one device. Paths are below the topic prefix, `state` by default. */
@ApiTags('state')
@ApiParam(DEVICE_ID_PARAM)
@ApiRefusals()
@Controller()
export class StateController {
  constructor(
    private readonly answers: Answers,
    private readonly reader: ReadReplica,
    private readonly timeTravel: TimeTravel,
    private readonly followers: DeviceFollowers,
  ) {}

  @Post(':deviceId/update')
  @ApiOperation({ summary: 'Report a state, ask for one, or both' })
  @ApiBody({ type: UpdateRequest })
  @ApiHeader(IF_MATCH)
  @ApiHeader(IDEMPOTENCY_KEY)
  @ApiResponse({
    status: 200,
    type: Accepted,
    headers: { ETag: { description: 'The version', schema: { type: 'string' } } },
  })
  update(
    @Param('deviceId') deviceId: string,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    return this.answers.command('update', deviceId, request, reply);
  }

  @Delete(':deviceId')
  @ApiOperation({ summary: 'Delete the replica; its version goes on' })
  @ApiHeader(IF_MATCH)
  @ApiHeader(IDEMPOTENCY_KEY)
  @ApiResponse({ status: 200, type: Deleted })
  delete(
    @Param('deviceId') deviceId: string,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    return this.answers.command('delete', deviceId, request, reply);
  }

  @Get(':deviceId')
  @ApiOperation({ summary: 'The state, its delta and metadata: now, or at a version or time' })
  @ApiQuery(VERSION_QUERY)
  @ApiQuery(AT_QUERY)
  @ApiHeader(IF_NONE_MATCH)
  @ApiResponse({ status: 200, type: GetAccepted })
  @ApiResponse({ status: 304, description: 'Not changed' })
  async get(
    @Param('deviceId') deviceId: string,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const moment = readMoment(request.query as Given);
    if (!moment.ok) return sendRefusal(reply, moment.refusal);
    const { value } = moment;
    await this.answers.query(deviceId, request, reply, async (gone) =>
      value === null
        ? { ok: true, value: await this.reader.get(deviceId) }
        : this.timeTravel.state(deviceId, value, gone),
    );
  }

  @Get(':deviceId/get')
  @ApiOperation({ summary: 'The same as GET /state/{deviceId}' })
  @ApiQuery(VERSION_QUERY)
  @ApiQuery(AT_QUERY)
  @ApiHeader(IF_NONE_MATCH)
  @ApiResponse({ status: 200, type: GetAccepted })
  @ApiResponse({ status: 304, description: 'Not changed' })
  async getAlias(
    @Param('deviceId') deviceId: string,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    await this.get(deviceId, request, reply);
  }

  @Get(':deviceId/delta')
  @ApiOperation({ summary: 'What is outstanding' })
  @ApiResponse({ status: 200, type: DeltaNow })
  @ApiResponse({ status: 204, description: 'Nothing is outstanding' })
  async delta(
    @Param('deviceId') deviceId: string,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    await this.answers.query(deviceId, request, reply, async () => ({
      ok: true,
      value: await this.reader.delta(deviceId),
    }));
  }

  @Get(':deviceId/events')
  @ApiOperation({ summary: 'Follow the device: its outputs as server-sent events' })
  @ApiHeader({ name: 'Last-Event-ID', required: false, description: 'Go on after this event, without a gap' })
  @ApiResponse({
    status: 200,
    description: 'Events `accepted`, `delta`, `documents`, `rejected`, `delete-accepted`',
    content: { 'text/event-stream': {} },
  })
  async events(
    @Param('deviceId') deviceId: string,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    if (!isReplicaId(deviceId)) return sendRefusal(reply, refusals.illegalDeviceId);
    try {
      await this.followers.follow(deviceId, request, reply);
    } catch (error) {
      sendRefusal(reply, this.answers.faultOf(error));
    }
  }
}
