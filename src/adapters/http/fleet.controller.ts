import { Controller, Get, Query, Res } from '@nestjs/common';
import { ApiOperation, ApiProperty, ApiQuery, ApiResponse, ApiTags } from '@nestjs/swagger';
import { type FastifyReply } from 'fastify';
import { type FleetQuery, type FleetRow } from '../../application/ports/read-model.js';
import { type Refusal } from '../../replica/commands.js';
import { isDeviceId } from '../../replica/limits.js';
import { Rejected } from './documents.openapi.js';
import { FleetAnswers, POSITION_HEADERS } from './fleet-answers.js';
import { sendRefusal } from './replies.js';

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1000;

class FleetDevice {
  @ApiProperty({ example: 'lamp-1' }) deviceId!: string;
  @ApiProperty() version!: number;
  @ApiProperty({ type: Number, nullable: true, description: 'Milliseconds since the epoch' })
  lastReported!: number | null;
  @ApiProperty({ type: Number, nullable: true }) lastDesired!: number | null;
  @ApiProperty({ type: Boolean, nullable: true, description: 'null: its history is damaged, see `broken`' })
  inSync!: boolean | null;
  @ApiProperty({ description: 'Since when it has been in sync, or not' }) since!: number;
  @ApiProperty({ description: 'How many leaves of desired are missing or different in reported' })
  outstanding!: number;
  @ApiProperty({ required: false, description: 'Why its history cannot be read further' }) broken?: string;
}

class FleetAnswer {
  @ApiProperty({ type: [FleetDevice] }) devices!: FleetDevice[];
  @ApiProperty({ type: String, nullable: true, description: 'For the next page; null: this is the last one' })
  cursor!: string | null;
}

class FleetCountAnswer {
  @ApiProperty() devices!: number;
  @ApiProperty() inSync!: number;
  @ApiProperty() notInSync!: number;
  @ApiProperty() broken!: number;
}

/** Questions over all devices. They are answered from the read model, which follows the events. */
@ApiTags('fleet')
@Controller('fleet')
export class FleetController {
  constructor(private readonly answers: FleetAnswers) {}

  @Get()
  @ApiOperation({ summary: 'Devices by id, page by page' })
  @ApiQuery({ name: 'inSync', required: false, enum: ['true', 'false'] })
  @ApiQuery({ name: 'limit', required: false, description: `1 to ${MAX_LIMIT}; default ${DEFAULT_LIMIT}` })
  @ApiQuery({ name: 'cursor', required: false, description: 'Of the page before' })
  @ApiResponse({ status: 200, type: FleetAnswer, headers: POSITION_HEADERS })
  @ApiResponse({ status: '4XX', type: Rejected })
  @ApiResponse({ status: 503, type: Rejected })
  async list(@Query() query: Record<string, unknown>, @Res() reply: FastifyReply): Promise<void> {
    const parsed = parseQuery(query);
    if ('code' in parsed) return sendRefusal(reply, parsed);
    await this.answers.answer(reply, async (model) => {
      // One more than asked for tells whether there is another page.
      const { rows, position } = await model.list({ ...parsed, limit: parsed.limit + 1 });
      const page = rows.slice(0, parsed.limit);
      const last = rows.length > page.length ? page.at(-1) : undefined;
      return {
        position,
        body: { devices: page.map(shown), cursor: last === undefined ? null : cursorOf(last) },
      };
    });
  }

  @Get('count')
  @ApiOperation({ summary: 'How many devices there are' })
  @ApiResponse({ status: 200, type: FleetCountAnswer, headers: POSITION_HEADERS })
  @ApiResponse({ status: 503, type: Rejected })
  async count(@Res() reply: FastifyReply): Promise<void> {
    await this.answers.answer(reply, async (model) => {
      const { position, ...counts } = await model.count();
      const devices = counts.inSync + counts.notInSync + counts.broken;
      return { position, body: { devices, ...counts } };
    });
  }
}

/** A parameter that is not known is refused: to leave it out would answer another question than was asked. */
function parseQuery(query: Record<string, unknown>): FleetQuery | Refusal {
  const refused = (message: string): Refusal => ({ code: 400, message });
  for (const [name, value] of Object.entries(query)) {
    if (name !== 'inSync' && name !== 'limit' && name !== 'cursor')
      return refused(`Unknown parameter: '${name}'`);
    if (typeof value !== 'string') return refused(`Parameter given more than once: '${name}'`);
  }
  const { inSync, limit, cursor } = query as Record<string, string | undefined>;
  if (inSync !== undefined && inSync !== 'true' && inSync !== 'false') {
    return refused('Invalid inSync: must be true or false');
  }
  const count = limit === undefined ? DEFAULT_LIMIT : Number(limit);
  if ((limit !== undefined && !/^\d{1,6}$/.test(limit)) || count < 1 || count > MAX_LIMIT) {
    return refused(`Invalid limit: must be 1 to ${MAX_LIMIT}`);
  }
  const after = cursor === undefined ? undefined : deviceOfCursor(cursor);
  if (after === null) return refused('Invalid cursor');
  return {
    limit: count,
    ...(inSync === undefined ? {} : { inSync: inSync === 'true' }),
    ...(after === undefined ? {} : { after: { value: null, deviceId: after } }),
  };
}

/** Opaque to clients, so that it may hold more one day. */
function cursorOf({ deviceId }: FleetRow): string {
  return Buffer.from(deviceId).toString('base64url');
}

function deviceOfCursor(cursor: string): string | null {
  const deviceId = Buffer.from(cursor, 'base64url').toString('utf8');
  return isDeviceId(deviceId) && cursorOf({ deviceId } as FleetRow) === cursor ? deviceId : null;
}

function shown(row: FleetRow): FleetDevice {
  const { deviceId, version, lastReported, lastDesired, status, since, outstanding, broken } = row;
  const inSync = status === 'broken' ? null : status === 'in-sync';
  const rest = broken === null ? {} : { broken };
  return { deviceId, version, lastReported, lastDesired, inSync, since, outstanding, ...rest };
}
