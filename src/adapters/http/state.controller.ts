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
import { Accepted, DeltaNow, Deleted, GetAccepted, Rejected, UpdateRequest } from './documents.openapi.js';
import { AT_QUERY, VERSION_QUERY } from './time-travel.openapi.js';

/** Commands and queries of one device. Paths are below the topic prefix, `state` by default. */
@ApiTags('state')
@ApiParam({
  name: 'deviceId',
  description: '1 to 128 of [A-Za-z0-9:._-]; of a named replica: {deviceId}/name/{replica}',
  example: 'lamp-1',
})
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
  @ApiHeader({
    name: 'If-Match',
    required: false,
    description: 'The version that the replica must have, as an ETag',
  })
  @ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description: 'Names the command: sent again, it has one effect',
  })
  @ApiResponse({
    status: 200,
    type: Accepted,
    headers: { ETag: { description: 'The version', schema: { type: 'string' } } },
  })
  @ApiResponse({ status: '4XX', type: Rejected })
  @ApiResponse({ status: '5XX', type: Rejected })
  update(
    @Param('deviceId') deviceId: string,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    return this.answers.command('update', deviceId, request, reply);
  }

  @Delete(':deviceId')
  @ApiOperation({ summary: 'Delete the replica; its version goes on' })
  @ApiHeader({
    name: 'If-Match',
    required: false,
    description: 'The version that the replica must have, as an ETag',
  })
  @ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description: 'Names the command: sent again, it has one effect',
  })
  @ApiResponse({ status: 200, type: Deleted })
  @ApiResponse({ status: '4XX', type: Rejected })
  @ApiResponse({ status: '5XX', type: Rejected })
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
  @ApiHeader({
    name: 'If-None-Match',
    required: false,
    description: 'Answer 304 where the version is still this one',
  })
  @ApiResponse({ status: 200, type: GetAccepted })
  @ApiResponse({ status: 304, description: 'Not changed' })
  @ApiResponse({ status: 400, type: Rejected })
  @ApiResponse({ status: 404, type: Rejected })
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
  @ApiHeader({ name: 'If-None-Match', required: false })
  @ApiResponse({ status: 200, type: GetAccepted })
  @ApiResponse({ status: 304, description: 'Not changed' })
  @ApiResponse({ status: 400, type: Rejected })
  @ApiResponse({ status: 404, type: Rejected })
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
  @ApiResponse({ status: 404, type: Rejected })
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
