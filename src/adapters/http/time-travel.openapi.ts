import { ApiExtraModels, ApiProperty, ApiPropertyOptional, getSchemaPath } from '@nestjs/swagger';
import { GetAccepted } from './documents.openapi.js';
import { REPLICA_ID_PATTERN, TIME_SCHEMA } from './parameters.openapi.js';

/** Shapes for the OpenAPI page alone. */

const anyObject = { type: 'object', additionalProperties: true } as const;
const anyValue = {
  nullable: true,
  anyOf: [
    anyObject,
    { type: 'array', items: {} },
    { type: 'string' },
    { type: 'number' },
    { type: 'boolean' },
  ],
  description: 'Any JSON value',
};
const milliseconds = { type: 'integer', description: 'Milliseconds since the epoch' } as const;

export const VERSION_QUERY = {
  name: 'version',
  required: false,
  description: 'As it was after the update that made this version',
  schema: { type: 'integer', minimum: 1, maximum: 999_999_999_999_999 },
} as const;

export const AT_QUERY = {
  name: 'at',
  required: false,
  description: 'As it was at this time: ISO 8601 with its zone, or milliseconds since the epoch',
  schema: TIME_SCHEMA,
} as const;

/** A version is a whole number as a time may be one. */
const BOUND_SCHEMA = { anyOf: TIME_SCHEMA.anyOf };

const BOUND =
  'a version, or a time: ISO 8601 with its zone, or milliseconds since the epoch from 100000000000 on';

export const HISTORY_QUERIES = {
  order: {
    name: 'order',
    required: false,
    description: 'Which events come first',
    schema: { type: 'string', enum: ['newest', 'oldest'], default: 'newest' },
  },
  from: {
    name: 'from',
    required: false,
    description: `The first of them, inclusive: ${BOUND}`,
    schema: BOUND_SCHEMA,
  },
  to: {
    name: 'to',
    required: false,
    description: `The last of them, inclusive: ${BOUND}`,
    schema: BOUND_SCHEMA,
  },
  limit: {
    name: 'limit',
    required: false,
    description: 'The most events of a page',
    schema: { type: 'integer', minimum: 1, maximum: 1000, default: 100 },
  },
  cursor: {
    name: 'cursor',
    required: false,
    description: 'That of the page before; it holds its order and range',
    schema: { type: 'string' },
  },
} as const;

class EventSource {
  @ApiProperty({ example: 'state.update' }) topic!: string;
  @ApiProperty({ type: 'integer' }) partition!: number;
  @ApiProperty({ type: 'integer' }) offset!: number;
  @ApiProperty({ ...milliseconds, description: "The record's timestamp" }) timestamp!: number;
  @ApiPropertyOptional({ description: '`message-id`, or `Idempotency-Key`' }) messageId?: string;
  @ApiPropertyOptional() correlationId?: string;
  @ApiPropertyOptional() traceparent?: string;
}

export class ShownEvent {
  @ApiProperty({ enum: ['ReportedStateChanged', 'DesiredStateChanged', 'ReplicaDeleted'] }) type!: string;
  @ApiProperty({ type: 'integer' }) version!: number;
  @ApiProperty(milliseconds) timestamp!: number;
  @ApiProperty({ ...milliseconds, description: 'When the store recorded it' }) recordedAt!: number;
  @ApiProperty({ type: 'integer', description: "Its place in the device's stream, from 0" })
  revision!: number;
  @ApiPropertyOptional({ ...anyObject, nullable: true, description: "The request's section" })
  state?: object | null;
  @ApiPropertyOptional() clientToken?: string;
  @ApiProperty({ type: EventSource, description: 'Where the command came from' }) source!: EventSource;
}

export class HistoryPage {
  @ApiProperty({ type: [ShownEvent] }) events!: ShownEvent[];
  @ApiPropertyOptional({ description: 'Of the next page; absent: this is the last one' }) cursor?: string;
}

export const DIFF_QUERIES = {
  from: { name: 'from', required: true, description: `Of what: ${BOUND}`, schema: BOUND_SCHEMA },
  to: { name: 'to', required: true, description: `To what: ${BOUND}`, schema: BOUND_SCHEMA },
} as const;

class StateStamp {
  @ApiProperty({ type: 'integer' }) version!: number;
  @ApiProperty(milliseconds) timestamp!: number;
}

class PatchOperation {
  @ApiProperty({ enum: ['add', 'remove', 'replace'] }) op!: string;
  @ApiProperty({ example: '/reported/power' }) path!: string;
  @ApiPropertyOptional(anyValue) value?: unknown;
}

export class StateDiff {
  @ApiProperty({ type: StateStamp }) from!: StateStamp;
  @ApiProperty({ type: StateStamp }) to!: StateStamp;
  @ApiProperty({ type: [PatchOperation], description: 'JSON Patch (RFC 6902) of {reported, desired}' })
  patch!: PatchOperation[];
  @ApiProperty({ ...anyObject, description: 'JSON Merge Patch (RFC 7396) of the same' })
  mergePatch!: object;
}

export const PATH_QUERY = {
  name: 'path',
  required: true,
  description:
    'The value: keys separated by dots (`\\.` is a dot in a key, `\\\\` a backslash), or a JSON pointer (RFC 6901)',
  schema: { type: 'string', example: 'reported.temp' },
} as const;

export class Explanation {
  @ApiProperty({ description: 'As a JSON pointer', example: '/reported/temp' }) path!: string;
  @ApiPropertyOptional({ ...anyValue, description: 'Any JSON value; absent: it was removed' })
  value?: unknown;
  @ApiPropertyOptional({ ...anyValue, description: 'What stood there before; absent: nothing' })
  previous?: unknown;
  @ApiProperty({ type: ShownEvent, description: 'The latest that named the value, or that removed it' })
  event!: ShownEvent;
}

export class RevertRequest {
  @ApiProperty({
    type: 'integer',
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'The version whose desired is wanted again',
  })
  to!: number;
  @ApiPropertyOptional({ maxLength: 64 }) clientToken?: string;
}

export class AsOfRequest {
  @ApiProperty({
    type: 'array',
    items: { type: 'string', pattern: REPLICA_ID_PATTERN, not: { enum: ['.', '..'] } },
    minItems: 1,
    maxItems: 100,
    example: ['lamp-1', 'lamp-2'],
  })
  deviceIds!: string[];
  @ApiProperty({
    anyOf: TIME_SCHEMA.anyOf,
    description: 'ISO 8601 with its zone, or milliseconds since the epoch',
    example: '2026-05-01T12:00:00Z',
  })
  at!: string | number;
}

@ApiExtraModels(GetAccepted)
export class AsOf {
  @ApiProperty(milliseconds) at!: number;
  @ApiProperty({
    type: 'object',
    additionalProperties: { nullable: true, allOf: [{ $ref: getSchemaPath(GetAccepted) }] },
    description: 'By deviceId; null: it had no state then',
  })
  devices!: object;
}
