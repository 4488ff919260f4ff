import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';

/** Shapes for the OpenAPI page alone. What is accepted is decided by the command's own reader. */

const anyObject = { type: 'object', additionalProperties: true } as const;

const requestedSection = { ...anyObject, nullable: true };

export class UpdateRequest {
  @ApiProperty({
    type: 'object',
    nullable: true,
    description: 'A merge patch; null removes',
    properties: {
      reported: { ...requestedSection, example: { temp: 21.5 } },
      desired: { ...requestedSection, example: { power: 'on' } },
    },
    additionalProperties: false,
  })
  state!: object | null;
  @ApiPropertyOptional({
    type: 'integer',
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'The version that the replica must have',
  })
  version?: number;
  @ApiPropertyOptional({ maxLength: 64, description: 'Comes back in every answer; at most 64 bytes' })
  clientToken?: string;
}

class Stamped {
  @ApiProperty({ type: 'integer', example: 1 })
  version!: number;
  @ApiProperty({ type: 'integer', description: 'Milliseconds since the epoch', example: 1764000000000 })
  timestamp!: number;
  @ApiPropertyOptional()
  clientToken?: string;
}

export class Accepted extends Stamped {
  @ApiProperty({ ...anyObject, nullable: true, description: "The request's sections and keys" })
  state!: object | null;
  @ApiProperty({ ...anyObject, description: 'The same shape, {timestamp} at each leaf' })
  metadata!: object;
}

export class Deleted extends Stamped {}

class CurrentState {
  @ApiPropertyOptional(anyObject) desired?: object;
  @ApiPropertyOptional(anyObject) reported?: object;
  @ApiPropertyOptional({
    ...anyObject,
    description: 'Desired values that are missing or different in reported',
  })
  delta?: object;
}

export class GetAccepted extends Stamped {
  @ApiProperty({ type: CurrentState })
  state!: CurrentState;
  @ApiProperty({ ...anyObject, description: 'The same sections, {timestamp} at each leaf' })
  metadata!: object;
}

export class DeltaNow extends Stamped {
  @ApiProperty({ ...anyObject, description: 'Outstanding: desired values that differ' })
  state!: object;
  @ApiProperty(anyObject)
  metadata!: object;
}

export class Rejected {
  @ApiProperty({ type: 'integer', example: 409 })
  code!: number;
  @ApiProperty({ example: 'Version conflict' })
  message!: string;
  @ApiProperty({ type: 'integer' })
  timestamp!: number;
  @ApiPropertyOptional()
  clientToken?: string;
}
