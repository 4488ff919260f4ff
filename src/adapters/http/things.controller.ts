import { Controller, Delete, Get, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiBody, ApiOperation, ApiParam, ApiQuery, ApiResponse, ApiTags } from '@nestjs/swagger';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { FORBIDDEN } from '../../application/access/rules.js';
import {
  replicaOfShadow,
  shadowDocument,
  shadowOfReplica,
  shadowRefusal,
} from '../../application/aws-shadow.js';
import { type CommandChannel } from '../../application/ports/bus.js';
import { type Clock } from '../../application/ports/clock.js';
import { ReadReplica } from '../../application/read-replica.js';
import { type Refusal, refusals } from '../../replica/commands.js';
import { rejectedDocument } from '../../replica/documents.js';
import { isReplicaId } from '../../replica/limits.js';
import { maySend } from './access.js';
import { Answers } from './answers.js';
import { UpdateRequest } from './documents.openapi.js';
import { FleetAnswers } from './fleet-answers.js';
import { ApiRefusals, SHADOW_QUERY, THING_PARAM } from './parameters.openapi.js';
import { sendDocument, sendRefusal } from './replies.js';
import { shadowErrorHeaders } from './shadow-errors.js';
import { CLOCK } from './tokens.js';

const DEFAULT_PAGE_COUNT = 25;
const MAX_PAGE_COUNT = 100;

/** AWS IoT's data plane: the classic shadow of a thing is the device's main replica, a named one is a named replica. */
@ApiTags('aws')
@ApiParam(THING_PARAM)
@ApiRefusals()
@Controller()
export class ThingsController {
  constructor(
    private readonly answers: Answers,
    private readonly fleet: FleetAnswers,
    private readonly reader: ReadReplica,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  @Get('things/:thing/shadow')
  @ApiOperation({ summary: 'GetThingShadow' })
  @ApiQuery(SHADOW_QUERY)
  @ApiResponse({ status: 200, description: 'The shadow document' })
  async get(
    @Param('thing') thing: string,
    @Query('name') name: unknown,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const id = this.replicaOf(thing, name, reply);
    if (id === null) return;
    try {
      const reading = await this.reader.get(id);
      if (reading === null) return this.refuse(reply, id, refusals.notFound(id));
      sendDocument(reply, 200, shadowDocument('get.accepted', id, reading.document) ?? '');
    } catch (error) {
      this.refuse(reply, id, this.answers.faultOf(error));
    }
  }

  @Post('things/:thing/shadow')
  @ApiOperation({ summary: 'UpdateThingShadow' })
  @ApiBody({ type: UpdateRequest })
  @ApiQuery(SHADOW_QUERY)
  @ApiResponse({ status: 200, description: 'What was accepted' })
  update(
    @Param('thing') thing: string,
    @Query('name') name: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    return this.command('update', thing, name, request, reply);
  }

  @Delete('things/:thing/shadow')
  @ApiOperation({ summary: 'DeleteThingShadow' })
  @ApiQuery(SHADOW_QUERY)
  @ApiResponse({ status: 200, description: 'The version that was deleted' })
  delete(
    @Param('thing') thing: string,
    @Query('name') name: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    return this.command('delete', thing, name, request, reply);
  }

  @Get('api/things/shadow/ListNamedShadowsForThing/:thing')
  @ApiOperation({ summary: 'ListNamedShadowsForThing' })
  @ApiQuery({
    name: 'pageSize',
    required: false,
    schema: { type: 'integer', minimum: 1, maximum: MAX_PAGE_COUNT, default: DEFAULT_PAGE_COUNT },
  })
  @ApiQuery({
    name: 'nextToken',
    required: false,
    description: 'That of the page before',
    schema: { type: 'string' },
  })
  @ApiResponse({ status: 200, description: '`{"results": [...], "nextToken"?, "timestamp"}`' })
  async list(
    @Param('thing') thing: string,
    @Query() { pageSize, nextToken }: Readonly<Record<string, unknown>>,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const id = this.replicaOf(thing, undefined, reply);
    if (id === null) return;
    const limit = pageSize === undefined ? DEFAULT_PAGE_COUNT : Number(pageSize);
    const after =
      typeof nextToken === 'string' ? Buffer.from(nextToken, 'base64url').toString('latin1') : undefined;
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_PAGE_COUNT) {
      return this.refuse(reply, id, { code: 400, message: `Invalid pageSize: 1 to ${MAX_PAGE_COUNT}` });
    }
    if (nextToken !== undefined && (after === undefined || !isReplicaId(after))) {
      return this.refuse(reply, id, { code: 400, message: 'Invalid nextToken' });
    }
    await this.fleet.answer(reply, async (model) => {
      const { rows, position } = await model.list({
        prefix: `${thing}/name/`,
        sort: { by: 'deviceId', descending: false },
        limit: limit + 1,
        ...(after === undefined ? {} : { after: { value: null, deviceId: after } }),
      });
      const page = rows.slice(0, limit);
      const last = rows.length > limit ? page.at(-1) : undefined;
      const results = page.map(({ deviceId }) => shadowOfReplica(deviceId).shadow);
      const next = last && { nextToken: Buffer.from(last.deviceId).toString('base64url') };
      return { position, body: { results, ...next, timestamp: Math.floor(this.clock() / 1000) } };
    });
  }

  private async command(
    channel: Exclude<CommandChannel, 'get'>,
    thing: string,
    name: unknown,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<void> {
    const id = this.replicaOf(thing, name, reply);
    if (id === null) return;
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    if (channel === 'update' && !maySend(request, id, body)) return this.refuse(reply, id, FORBIDDEN);
    try {
      const { accepted, value } = await this.answers.request(
        channel,
        id,
        body,
        this.answers.headersOf(request, reply),
      );
      const outcome = accepted ? 'accepted' : 'rejected';
      const document = shadowDocument(`${channel}.${outcome}`, id, value.toString('utf8')) ?? '';
      if (accepted) return sendDocument(reply, 200, document);
      const { code } = JSON.parse(document) as { code: number };
      void reply.headers(shadowErrorHeaders(request.url, code));
      sendDocument(reply, code, document);
    } catch (error) {
      this.refuse(reply, id, this.answers.faultOf(error));
    }
  }

  /** Null: it was answered that there can be no such shadow. */
  private replicaOf(thing: string, name: unknown, reply: FastifyReply): string | null {
    const isName = name === undefined || typeof name === 'string';
    const id = isName ? replicaOfShadow(thing, name) : null;
    if (id === null) {
      this.refuse(reply, thing, {
        code: 400,
        message: 'Invalid thing or shadow name: of [A-Za-z0-9:._-], that of a shadow also of $',
      });
    }
    return id;
  }

  private refuse(reply: FastifyReply, replicaId: string, refusal: Refusal): void {
    if (refusal.code === 503 || refusal.code === 429) return sendRefusal(reply, refusal);
    void reply.headers(shadowErrorHeaders(reply.request.url, refusal.code));
    const worded = shadowRefusal(refusal, replicaId);
    const document = rejectedDocument(worded, this.clock());
    sendDocument(reply, refusal.code, shadowDocument('get.rejected', replicaId, document) ?? '');
  }
}
