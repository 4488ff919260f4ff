import { Controller, Get, Param, Res } from '@nestjs/common';
import {
  ApiOperation,
  ApiParam,
  ApiProperty,
  ApiPropertyOptional,
  ApiResponse,
  ApiTags,
} from '@nestjs/swagger';
import { type FastifyReply } from 'fastify';
import { presenceDocument } from '../../application/presence.js';
import { refusals } from '../../replica/commands.js';
import { isReplicaId } from '../../replica/limits.js';
import { FleetAnswers } from './fleet-answers.js';
import { ApiRefusals, DEVICE_ID_PARAM } from './parameters.openapi.js';
import { sendRefusal } from './replies.js';

/** For the OpenAPI page alone. */
class Presence {
  @ApiProperty() connected!: boolean;
  @ApiProperty({ type: 'integer', description: 'Since when it is so, milliseconds since the epoch' })
  since!: number;
  @ApiPropertyOptional({ description: 'Absent: the device has told it on its topic' }) clientId?: string;
  @ApiPropertyOptional({
    enum: ['clean', 'lost', 'taken-over', 'stopped', 'unknown'],
    description: 'How the connection ended. Absent: it is connected, or has told it on its topic',
  })
  ended?: string;
  @ApiPropertyOptional({ description: 'Whether a last will was published when it ended' }) will?: boolean;
}

/** Paths are below the topic prefix. */
@ApiTags('state')
@ApiParam(DEVICE_ID_PARAM)
@ApiRefusals()
@Controller()
export class PresenceController {
  constructor(private readonly answers: FleetAnswers) {}

  @Get(':deviceId/presence')
  @ApiOperation({ summary: 'Whether the device is connected, whether it has a replica or not' })
  @ApiResponse({ status: 200, type: Presence })
  async presence(@Param('deviceId') deviceId: string, @Res() reply: FastifyReply): Promise<void> {
    if (!isReplicaId(deviceId)) return sendRefusal(reply, refusals.illegalDeviceId);
    await this.answers.text(reply, async (model) => {
      const presence = await model.presence(deviceId);
      return presence === null
        ? { ok: false, refusal: { code: 404, message: `No presence is known of device: '${deviceId}'` } }
        : { ok: true, value: presenceDocument(presence) };
    });
  }
}
