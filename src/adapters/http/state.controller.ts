import { Controller, Delete, Get, HttpStatus, Inject, Param, Post, Req, Res } from '@nestjs/common';
import { ApiBody, ApiHeader, ApiOperation, ApiParam, ApiResponse, ApiTags } from '@nestjs/swagger';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { randomUUID } from 'node:crypto';
import { type Bus, BusError, type CommandChannel } from '../../application/ports/bus.js';
import { EventStoreError } from '../../application/ports/event-store.js';
import { type Observer } from '../../application/ports/observer.js';
import { ReadReplica } from '../../application/read-replica.js';
import { type Refusal, refusals } from '../../replica/commands.js';
import { isDeviceId } from '../../replica/limits.js';
import { type JsonValue, isObject, own } from '../../replica/json.js';
import { DeviceFollowers } from './device-followers.js';
import { etagOf, sendDocument, sendRefusal } from './replies.js';
import { BUS, OBSERVER } from './tokens.js';
import { Accepted, DeltaNow, Deleted, GetAccepted, Rejected, UpdateRequest } from './documents.openapi.js';

/** What a client sends that goes with the command, whatever bus carries it. */
const FORWARDED: Readonly<Record<string, string>> = {
  'if-match': 'if-match',
  'idempotency-key': 'message-id',
  'correlation-id': 'correlation-id',
  traceparent: 'traceparent',
};

/** Commands and queries of one device. Paths are below the topic prefix, `state` by default. */
@ApiTags('state')
@ApiParam({ name: 'deviceId', description: '1 to 128 of [A-Za-z0-9:._-]', example: 'lamp-1' })
@Controller()
export class StateController {
  constructor(
    @Inject(BUS) private readonly bus: Bus,
    @Inject(OBSERVER) private readonly observer: Observer,
    private readonly reader: ReadReplica,
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
    return this.command('update', deviceId, request, reply);
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
    return this.command('delete', deviceId, request, reply);
  }

  @Get(':deviceId')
  @ApiOperation({ summary: 'The current state, its delta and metadata' })
  @ApiHeader({
    name: 'If-None-Match',
    required: false,
    description: 'Answer 304 where the version is still this one',
  })
  @ApiResponse({ status: 200, type: GetAccepted })
  @ApiResponse({ status: 304, description: 'Not changed' })
  @ApiResponse({ status: 404, type: Rejected })
  async get(
    @Param('deviceId') deviceId: string,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    await this.query(deviceId, request, reply, () => this.reader.get(deviceId));
  }

  @Get(':deviceId/get')
  @ApiOperation({ summary: 'The same as GET /state/{deviceId}' })
  @ApiResponse({ status: 200, type: GetAccepted })
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
    await this.query(deviceId, request, reply, () => this.reader.delta(deviceId));
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
    if (!isDeviceId(deviceId)) return sendRefusal(reply, refusals.illegalDeviceId);
    try {
      await this.followers.follow(deviceId, request, reply);
    } catch (error) {
      sendRefusal(reply, this.faultOf(error));
    }
  }

  private async command(
    channel: CommandChannel,
    deviceId: string,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<void> {
    if (!isDeviceId(deviceId)) return sendRefusal(reply, refusals.illegalDeviceId);
    const headers: Record<string, string> = {};
    for (const [from, to] of Object.entries(FORWARDED)) {
      const value = request.headers[from];
      if (typeof value === 'string') headers[to] = value;
    }
    headers['correlation-id'] ??= randomUUID();
    void reply.header('correlation-id', headers['correlation-id']);
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    try {
      const answer = await this.bus.request(channel, deviceId, body, headers);
      const document = JSON.parse(answer.value.toString('utf8')) as JsonValue;
      const number = isObject(document) ? own(document, answer.accepted ? 'version' : 'code') : undefined;
      if (answer.accepted) void reply.header('etag', etagOf(number as number));
      sendDocument(reply, answer.accepted ? HttpStatus.OK : (number as number), answer.value);
    } catch (error) {
      sendRefusal(reply, this.faultOf(error));
    }
  }

  private async query(
    deviceId: string,
    request: FastifyRequest,
    reply: FastifyReply,
    read: () => Promise<{ version: number; document: string | null } | null>,
  ): Promise<void> {
    if (!isDeviceId(deviceId)) return sendRefusal(reply, refusals.illegalDeviceId);
    try {
      const reading = await read();
      if (reading === null) return sendRefusal(reply, refusals.notFound(deviceId));
      const etag = etagOf(reading.version);
      void reply.header('etag', etag).header('cache-control', 'no-cache');
      if (matches(request.headers['if-none-match'], etag)) {
        void reply.status(HttpStatus.NOT_MODIFIED).send();
      } else if (reading.document === null) {
        void reply.status(HttpStatus.NO_CONTENT).send();
      } else {
        sendDocument(reply, HttpStatus.OK, reading.document);
      }
    } catch (error) {
      sendRefusal(reply, this.faultOf(error));
    }
  }

  /** Our fault, as an answer. */
  private faultOf(error: unknown): Refusal {
    if (error instanceof BusError && error.code === 'reply-timeout') {
      const message =
        'No answer in time; the command may still take effect. Send it again with the same Idempotency-Key';
      return { code: 504, message };
    }
    if (error instanceof BusError && (error.canRetry || error.code === 'closed')) {
      return { code: 503, message: `Not available now: ${error.message}` };
    }
    if (error instanceof EventStoreError && (error.canRetry || error.code === 'closed')) {
      return { code: 503, message: 'The event store is not available now' };
    }
    this.observer.failed('http', error);
    return { code: 500, message: 'Internal error' };
  }
}

/** If-None-Match: a list of ETags, weak or strong, or `*`. */
function matches(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header.split(',').some((part) => part.trim() === '*' || part.trim().replace(/^W\//, '') === etag);
}
