import { applyDecorators, Controller, Get, Query, Res } from '@nestjs/common';
import { ApiOperation, ApiQuery, type ApiQueryOptions, ApiResponse, ApiTags } from '@nestjs/swagger';
import { type FastifyReply } from 'fastify';
import { type FleetPlace, type FleetSort, type ListedRow } from '../../application/ports/read-model.js';
import { ApiRefusals } from './parameters.openapi.js';
import { FleetAnswers, POSITION_HEADERS } from './fleet-answers.js';
import { shownDevice } from './fleet-fields.js';
import { readFleetRequest, readFleetSelection, type Sent } from './fleet-query.js';
import { FleetAnswer, FleetCountAnswer, PAGE_QUERIES, SELECTION_QUERIES } from './fleet.openapi.js';
import { sendRefusal } from './replies.js';

const queries = (options: readonly ApiQueryOptions[]): MethodDecorator =>
  applyDecorators(...options.map((option) => ApiQuery(option)));

/** Questions over all devices. They are answered from the read model, which follows the events. */
@ApiTags('fleet')
@ApiRefusals()
@Controller('fleet')
export class FleetController {
  constructor(private readonly answers: FleetAnswers) {}

  @Get()
  @ApiOperation({ summary: 'Devices, filtered and sorted, page by page' })
  @queries([...SELECTION_QUERIES, ...PAGE_QUERIES])
  @ApiResponse({ status: 200, type: FleetAnswer, headers: POSITION_HEADERS })
  async list(@Query() sent: Sent, @Res() reply: FastifyReply): Promise<void> {
    const asked = readFleetRequest(sent);
    if (!asked.ok) return sendRefusal(reply, asked.refusal);
    const { query, columns, cursorAt } = asked.value;
    await this.answers.answer(reply, async (model) => {
      // One more than asked for tells whether there is another page.
      const { rows, position } = await model.list({ ...query, limit: query.limit + 1 });
      const page = rows.slice(0, query.limit);
      const last = rows.length > page.length ? page.at(-1) : undefined;
      const cursor = last === undefined ? null : cursorAt(placeOf(last, query.sort));
      return { position, body: { devices: page.map((row) => shownDevice(row, columns)), cursor } };
    });
  }

  @Get('count')
  @ApiOperation({ summary: 'How many devices there are, of all or of those that are meant' })
  @queries(SELECTION_QUERIES)
  @ApiResponse({ status: 200, type: FleetCountAnswer, headers: POSITION_HEADERS })
  async count(@Query() sent: Sent, @Res() reply: FastifyReply): Promise<void> {
    const selection = readFleetSelection(sent);
    if (!selection.ok) return sendRefusal(reply, selection.refusal);
    await this.answers.answer(reply, async (model) => {
      const { position, ...counts } = await model.count(selection.value);
      const devices = counts.inSync + counts.notInSync + counts.broken;
      return { position, body: { devices, ...counts } };
    });
  }
}

function placeOf(row: ListedRow, sort: FleetSort | undefined): FleetPlace {
  const by = sort?.by ?? 'deviceId';
  return { value: by === 'deviceId' ? null : row[by], deviceId: row.deviceId };
}
