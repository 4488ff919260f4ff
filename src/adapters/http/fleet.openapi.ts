import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { MAX_REPLICA_ID_BYTES } from '../../replica/limits.js';
import { FLEET_FIELDS } from '../../application/fleet-filter.js';
import { DEFAULT_LIMIT, MAX_LIMIT } from './fleet-query.js';
import { TIME_SCHEMA } from './parameters.openapi.js';

/** Shapes for the OpenAPI page alone. */

const TIME = 'ISO 8601 with its zone, or milliseconds since the epoch';
const since = (name: string, what: string) => ({
  name,
  required: false,
  description: `Devices that ${what} then or later: ${TIME}`,
  schema: TIME_SCHEMA,
});

/** Which devices are meant. */
export const SELECTION_QUERIES = [
  {
    name: 'prefix',
    required: false,
    description: 'What the id begins with',
    schema: {
      type: 'string',
      maxLength: MAX_REPLICA_ID_BYTES,
      pattern: '^[$A-Za-z0-9:._/-]*$',
      example: 'lamp-',
    },
  },
  {
    name: 'inSync',
    required: false,
    description: 'true: nothing is outstanding; false: something is. Absent: both, and the broken ones',
    schema: { type: 'boolean' },
  },
  {
    name: 'connected',
    required: false,
    description:
      'true: it is connected by MQTT; false: it was. Absent: both, and those that never were. A named replica is as its device is',
    schema: { type: 'boolean' },
  },
  since('reportedSince', 'reported'),
  since('desiredSince', 'had their desired state set'),
  since('updatedSince', 'reported or had their desired state set'),
  {
    name: 'filter',
    required: false,
    description:
      'What must hold of the device: tests of state values (`reported.battery<20`, `exists(desired.a)`, `reported["a key"].b in ("x", 1)`) and of version, lastReported, lastDesired, since, outstanding, connectedSince and disconnectedSince, joined by and, or, not and parentheses. See docs/fleet-queries.md',
    schema: { type: 'string', example: 'reported.battery<20 and not desired.firmware=="2.1"' },
  },
];

export const PAGE_QUERIES = [
  {
    name: 'sort',
    required: false,
    description:
      'Ascending, or descending with a - before it; ties are in the order of the ids, and devices that have no such time come last',
    schema: {
      type: 'string',
      enum: ['deviceId', ...FLEET_FIELDS].flatMap((name) => [name, `-${name}`]),
      default: 'deviceId',
    },
  },
  {
    name: 'fields',
    required: false,
    description:
      'What is shown of each device, separated by commas: deviceId, version, lastReported, lastDesired, inSync, since, outstanding, connected, connectedSince, disconnectedSince, broken, and places in its state, which stand under `state`. Absent: all but the state',
    schema: { type: 'string', example: 'version,reported.battery,delta' },
  },
  {
    name: 'limit',
    required: false,
    description: 'The most devices of a page',
    schema: { type: 'integer', minimum: 1, maximum: MAX_LIMIT, default: DEFAULT_LIMIT },
  },
  {
    name: 'cursor',
    required: false,
    description: 'That of the page before, with the same filters and sort',
    schema: { type: 'string' },
  },
];

class FleetDevice {
  @ApiProperty({ example: 'lamp-1' }) deviceId!: string;
  @ApiProperty({ required: false, type: 'integer' }) version?: number;
  @ApiProperty({
    required: false,
    type: 'integer',
    nullable: true,
    description: 'When it reported last, milliseconds since the epoch; null: never',
  })
  lastReported?: number | null;
  @ApiProperty({ required: false, type: 'integer', nullable: true }) lastDesired?: number | null;
  @ApiProperty({
    required: false,
    type: Boolean,
    nullable: true,
    description: 'null: its history is damaged, see `broken`',
  })
  inSync?: boolean | null;
  @ApiProperty({ required: false, type: 'integer', description: 'Since when it has been in sync, or not' })
  since?: number;
  @ApiProperty({
    required: false,
    type: 'integer',
    description: 'How many leaves of desired are missing or different in reported',
  })
  outstanding?: number;
  @ApiProperty({
    required: false,
    type: Boolean,
    nullable: true,
    description: 'Whether it is connected by MQTT; null: it never was, as far as is known',
  })
  connected?: boolean | null;
  @ApiProperty({
    required: false,
    type: 'integer',
    nullable: true,
    description: 'Since when, milliseconds since the epoch; null: it is not connected',
  })
  connectedSince?: number | null;
  @ApiProperty({
    required: false,
    type: 'integer',
    nullable: true,
    description: 'Since when it is connected no more; null: it is, or never was',
  })
  disconnectedSince?: number | null;
  @ApiProperty({ required: false, description: 'Why its history cannot be read further' }) broken?: string;
  @ApiPropertyOptional({
    type: 'object',
    additionalProperties: true,
    description:
      'The values that `fields` named and the device has, where they stand in its state: {reported, desired, delta}',
  })
  state?: object;
}

export class FleetAnswer {
  @ApiProperty({ type: [FleetDevice] }) devices!: FleetDevice[];
  @ApiProperty({ type: String, nullable: true, description: 'For the next page; null: this is the last one' })
  cursor!: string | null;
}

export class FleetCountAnswer {
  @ApiProperty({ type: 'integer', description: 'All of them' }) devices!: number;
  @ApiProperty({ type: 'integer' }) inSync!: number;
  @ApiProperty({ type: 'integer' }) notInSync!: number;
  @ApiProperty({ type: 'integer', description: 'Their history is damaged' }) broken!: number;
}
