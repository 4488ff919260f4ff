/** Shapes for the OpenAPI page alone. */

export const VERSION_QUERY = {
  name: 'version',
  required: false,
  description: 'As it was after the update that made this version',
  schema: { type: 'integer', minimum: 1 },
} as const;

export const AT_QUERY = {
  name: 'at',
  required: false,
  description: 'As it was at this time: ISO 8601 with its zone, or milliseconds since the epoch',
  schema: { type: 'string', example: '2026-05-01T12:00:00Z' },
} as const;
