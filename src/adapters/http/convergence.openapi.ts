import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { TIME_SCHEMA } from './parameters.openapi.js';

/** Shapes for the OpenAPI page alone. */

const anyObject = { type: 'object', additionalProperties: true } as const;
const milliseconds = { type: 'integer', description: 'Milliseconds since the epoch' } as const;
const TIME = 'ISO 8601 with its zone, or milliseconds since the epoch';

export const CONVERGENCE_QUERIES = {
  from: {
    name: 'from',
    required: false,
    description: `Changes settled since: ${TIME}; moved back to a whole hour. Default: 24 hours before \`to\``,
    schema: TIME_SCHEMA,
  },
  to: {
    name: 'to',
    required: false,
    description: `Changes settled until: ${TIME}; moved on to a whole hour. Default: now`,
    schema: TIME_SCHEMA,
  },
} as const;

class Bar {
  @ApiProperty({
    type: 'integer',
    nullable: true,
    description: 'Inclusive; it begins where the one before it ends. null: all that is longer',
  })
  upToMs!: number | null;
  @ApiProperty({ type: 'integer' }) count!: number;
}

const estimate = {
  type: 'integer',
  nullable: true,
  description: 'Estimated from the histogram; null: nothing is counted',
} as const;

class Convergence {
  @ApiProperty({ type: 'integer' }) count!: number;
  @ApiProperty({ type: 'integer', description: 'How long they were open, together' }) sumMs!: number;
  @ApiProperty(estimate) p50Ms!: number | null;
  @ApiProperty(estimate) p90Ms!: number | null;
  @ApiProperty(estimate) p99Ms!: number | null;
  @ApiProperty({ type: [Bar] }) histogram!: Bar[];
}

class Outcomes {
  @ApiProperty({ type: Convergence, description: 'Each value was reported at some time' })
  reached!: Convergence;
  @ApiProperty({
    type: Convergence,
    description: 'Another value was wanted in place of one not reported yet',
  })
  superseded!: Convergence;
  @ApiProperty({ type: Convergence, description: 'A value not reported yet was removed from desired' })
  withdrawn!: Convergence;
}

class OldDevice {
  @ApiProperty({ example: 'lamp-1' }) deviceId!: string;
  @ApiProperty(milliseconds) since!: number;
  @ApiProperty({ type: 'integer', description: 'How many leaves are missing or different in reported' })
  outstanding!: number;
  @ApiProperty({ type: 'integer', description: 'Milliseconds out of sync' }) forMs!: number;
}

class DevicesOutOfSync {
  @ApiProperty({ type: 'integer' }) devices!: number;
  @ApiProperty({ type: 'integer', description: 'Their desired changes that are open' }) openChanges!: number;
  @ApiProperty({ type: [Bar], description: 'By how long they have been out of sync' }) histogram!: Bar[];
  @ApiProperty({ type: [OldDevice], description: 'Ten at the most, the longest first' }) oldest!: OldDevice[];
}

export class FleetConvergence {
  @ApiProperty({ ...milliseconds, description: 'The beginning of the first hour that is counted' })
  from!: number;
  @ApiProperty({ ...milliseconds, description: 'The end of the last one' }) to!: number;
  @ApiProperty({ type: Outcomes, description: 'The desired changes that were settled in those hours' })
  settled!: Outcomes;
  @ApiProperty({ type: DevicesOutOfSync, description: 'Now, whatever `from` and `to`' })
  outOfSync!: DevicesOutOfSync;
}

class DesiredChange {
  @ApiProperty({ type: 'integer' }) version!: number;
  @ApiProperty({ type: 'integer', description: "Its event's place in the device's stream, from 0" })
  revision!: number;
  @ApiProperty(milliseconds) askedAt!: number;
  @ApiProperty({
    ...anyObject,
    description: 'The values that it put into desired and that did not stand there',
  })
  desired!: object;
  @ApiProperty({ enum: ['open', 'reached', 'superseded', 'withdrawn'] }) outcome!: string;
  @ApiProperty({ ...milliseconds, nullable: true }) settledAt!: number | null;
  @ApiProperty({ type: 'integer', nullable: true }) durationMs!: number | null;
  @ApiPropertyOptional({ ...anyObject, description: 'Of `desired`, what is open' }) open?: object;
  @ApiPropertyOptional() clientToken?: string;
}

class ChangesAsOf {
  @ApiProperty({ type: 'integer' }) version!: number;
  @ApiProperty(milliseconds) timestamp!: number;
}

export class DesiredChanges {
  @ApiProperty({ type: [DesiredChange] }) changes!: DesiredChange[];
  @ApiProperty({ type: ChangesAsOf, description: "The device's last event" }) asOf!: ChangesAsOf;
  @ApiPropertyOptional({ description: 'Of the next page; absent: this is the last one' }) cursor?: string;
}
