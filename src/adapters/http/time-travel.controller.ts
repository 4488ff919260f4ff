import { Controller, Get, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiBody, ApiHeader, ApiOperation, ApiParam, ApiQuery, ApiResponse, ApiTags } from '@nestjs/swagger';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { type HistoryOptions, MAX_PAGE_COUNT } from '../../application/history.js';
import {
  answer,
  type Answer,
  parseVersion,
  readBound,
  readMoment,
  refuse,
} from '../../application/moments.js';
import { readRevert, sendRevert } from '../../application/revert.js';
import { TimeTravel } from '../../application/time-travel.js';
import { refusals } from '../../replica/commands.js';
import { isReplicaId } from '../../replica/limits.js';
import { parsePath } from '../../replica/path.js';
import { Answers } from './answers.js';
import { DesiredChanges } from './convergence.openapi.js';
import { goneSignal, sendRefusal } from './replies.js';
import { Accepted, Rejected } from './documents.openapi.js';
import { ApiRefusals, DEVICE_ID_PARAM, IDEMPOTENCY_KEY, IF_MATCH } from './parameters.openapi.js';
import {
  AT_QUERY,
  DIFF_QUERIES,
  Explanation,
  HISTORY_QUERIES,
  HistoryPage,
  PATH_QUERY,
  RevertRequest,
  StateDiff,
  VERSION_QUERY,
} from './time-travel.openapi.js';

/** What was sent for each name; several times: an array. */
type Sent = Readonly<Record<string, string | readonly string[] | undefined>>;

/** What one device was, and how it came to be so. */
@ApiTags('past')
@ApiParam(DEVICE_ID_PARAM)
@ApiRefusals()
@Controller()
export class TimeTravelController {
  constructor(
    private readonly answers: Answers,
    private readonly timeTravel: TimeTravel,
  ) {}

  @Get(':deviceId/history')
  @ApiOperation({ summary: "The device's events, page by page" })
  @ApiQuery(HISTORY_QUERIES.order)
  @ApiQuery(HISTORY_QUERIES.from)
  @ApiQuery(HISTORY_QUERIES.to)
  @ApiQuery(HISTORY_QUERIES.limit)
  @ApiQuery(HISTORY_QUERIES.cursor)
  @ApiResponse({ status: 200, type: HistoryPage })
  async history(
    @Param('deviceId') deviceId: string,
    @Query() sent: Sent,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    await this.answers.json(deviceId, reply, async (gone) => {
      const options = readHistoryOptions(sent);
      return options.ok ? this.timeTravel.history(deviceId, options.value, gone) : options;
    });
  }

  @Get(':deviceId/convergence')
  @ApiOperation({ summary: "The device's desired changes, page by page, and what became of each" })
  @ApiQuery(HISTORY_QUERIES.order)
  @ApiQuery(HISTORY_QUERIES.from)
  @ApiQuery(HISTORY_QUERIES.to)
  @ApiQuery(HISTORY_QUERIES.limit)
  @ApiQuery(HISTORY_QUERIES.cursor)
  @ApiResponse({ status: 200, type: DesiredChanges })
  async convergence(
    @Param('deviceId') deviceId: string,
    @Query() sent: Sent,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    await this.answers.json(deviceId, reply, async (gone) => {
      const options = readHistoryOptions(sent);
      return options.ok ? this.timeTravel.convergence(deviceId, options.value, gone) : options;
    });
  }

  @Get(':deviceId/diff')
  @ApiOperation({ summary: 'What changed between two versions or times' })
  @ApiQuery(DIFF_QUERIES.from)
  @ApiQuery(DIFF_QUERIES.to)
  @ApiResponse({ status: 200, type: StateDiff })
  async diff(
    @Param('deviceId') deviceId: string,
    @Query() sent: Sent,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    await this.answers.json(deviceId, reply, async (gone) => {
      const from = readBound('from', sent['from']);
      if (!from.ok) return from;
      const to = readBound('to', sent['to']);
      if (!to.ok) return to;
      if (from.value === null || to.value === null) return refuse(400, 'Give both from and to');
      return this.timeTravel.diff(deviceId, from.value, to.value, gone);
    });
  }

  @Get(':deviceId/explain')
  @ApiOperation({ summary: 'Which event made a value what it is, and what it replaced' })
  @ApiQuery(PATH_QUERY)
  @ApiQuery(VERSION_QUERY)
  @ApiQuery(AT_QUERY)
  @ApiResponse({ status: 200, type: Explanation })
  @ApiResponse({ status: 404, type: Rejected, description: 'The value was never there' })
  async explain(
    @Param('deviceId') deviceId: string,
    @Query() sent: Sent,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    await this.answers.json(deviceId, reply, async (gone) => {
      const { path: text } = sent;
      const path = typeof text === 'string' ? parsePath(text) : null;
      if (path === null) {
        return refuse(400, 'Invalid path: such as reported.temp, or as a JSON pointer /reported/temp');
      }
      const moment = readMoment(sent);
      return moment.ok ? this.timeTravel.explain(deviceId, path, moment.value, gone) : moment;
    });
  }

  @Post(':deviceId/revert')
  @ApiOperation({ summary: 'Put desired back to what it was at a version, as a new update' })
  @ApiBody({ type: RevertRequest })
  @ApiHeader(IF_MATCH)
  @ApiHeader(IDEMPOTENCY_KEY)
  @ApiResponse({ status: 200, type: Accepted })
  async revert(
    @Param('deviceId') deviceId: string,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    if (!isReplicaId(deviceId)) return sendRefusal(reply, refusals.illegalDeviceId);
    const reading = readRevert(Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0));
    if (!reading.ok) return sendRefusal(reply, reading.refusal);
    const headers = this.answers.headersOf(request, reply);
    const gone = goneSignal(reply);
    try {
      const answer = await sendRevert(
        () => this.timeTravel.revert(deviceId, reading.value, headers['message-id'], gone),
        (update) => this.answers.request('update', deviceId, update, headers),
        headers['if-match'] === undefined,
      );
      if (answer.ok) this.answers.send(reply, answer.value);
      else sendRefusal(reply, answer.refusal, reading.value.clientToken);
    } catch (error) {
      if (gone.aborted) return;
      sendRefusal(reply, this.answers.faultOf(error));
    }
  }
}

function readHistoryOptions({ order, limit, cursor, ...bounds }: Sent): Answer<HistoryOptions> {
  if (order !== undefined && order !== 'newest' && order !== 'oldest') {
    return refuse(400, 'Invalid order: newest or oldest');
  }
  const count = limit === undefined ? undefined : typeof limit === 'string' ? parseVersion(limit) : null;
  if (count === null || count === 0 || (count !== undefined && count > MAX_PAGE_COUNT)) {
    return refuse(400, `Invalid limit: a whole number from 1 to ${MAX_PAGE_COUNT}`);
  }
  if (cursor !== undefined && typeof cursor !== 'string') return refuse(400, 'Invalid cursor');
  const from = readBound('from', bounds['from']);
  if (!from.ok) return from;
  const to = readBound('to', bounds['to']);
  if (!to.ok) return to;
  return answer({
    from: from.value,
    to: to.value,
    ...(order === undefined ? {} : { order }),
    ...(count === undefined ? {} : { limit: count }),
    ...(cursor === undefined ? {} : { cursor }),
  });
}
