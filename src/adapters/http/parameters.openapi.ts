import { applyDecorators } from '@nestjs/common';
import { type ApiHeaderOptions, type ApiParamOptions, ApiResponse } from '@nestjs/swagger';
import { Rejected } from './documents.openapi.js';

/** Parameters for the OpenAPI page alone. What is taken is decided by those who read them. */

const ID = '[A-Za-z0-9:._-]{1,128}';
const NAME = '[$A-Za-z0-9:._-]{1,64}';
const notDots = { enum: ['.', '..'] };

export const REPLICA_ID_PATTERN = `^${ID}(/name/${NAME})?$`;

export const DEVICE_ID_PARAM: ApiParamOptions = {
  name: 'deviceId',
  description: '1 to 128 of [A-Za-z0-9:._-]; of a named replica: {deviceId}/name/{replica}',
  example: 'lamp-1',
  schema: { type: 'string', pattern: REPLICA_ID_PATTERN, not: notDots },
};

export const THING_PARAM: ApiParamOptions = {
  name: 'thing',
  description: 'The name of a thing, which is a deviceId',
  example: 'lamp-1',
  schema: { type: 'string', pattern: `^${ID}$`, not: notDots },
};

export const SHADOW_QUERY = {
  name: 'name',
  required: false,
  description: 'The name of a named shadow; empty or absent: the classic one',
  schema: { type: 'string', pattern: `^(${NAME})?$`, not: notDots },
};

/** ISO 8601 with its zone, or milliseconds since the epoch. */
export const TIME_SCHEMA = {
  anyOf: [
    { type: 'string', format: 'date-time' },
    { type: 'string', format: 'date' },
    { type: 'integer', minimum: 0, maximum: 8_640_000_000_000_000 },
  ],
  example: '2026-05-01T12:00:00Z',
};

export const IF_MATCH: ApiHeaderOptions = {
  name: 'If-Match',
  required: false,
  description: 'The version that the replica must have, as an ETag; *: any',
  schema: { type: 'string', pattern: '^("[0-9]{1,16}"|[0-9]{1,16}|[*])$' },
};

export const IF_NONE_MATCH: ApiHeaderOptions = {
  name: 'If-None-Match',
  required: false,
  description: 'Answer 304 where the version is still this one',
};

export const IDEMPOTENCY_KEY: ApiHeaderOptions = {
  name: 'Idempotency-Key',
  required: false,
  description: 'Names the command: sent again, it has one effect',
  schema: { type: 'string', pattern: '^[!-~]{1,128}$' },
};

/** What any operation may answer: the caller's mistakes, and ours. */
export const ApiRefusals = (): ClassDecorator =>
  applyDecorators(
    ApiResponse({ status: '4XX', type: Rejected, description: 'Refused; the code says why' }),
    ApiResponse({ status: '5XX', type: Rejected, description: 'Our fault; it can be tried again' }),
  );
