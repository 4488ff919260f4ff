import { Controller, Get, Inject, Post, Req, Res } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { type ProjectionsControl, type ProjectionsStatus } from '../../application/projections.js';
import { sendDocument, sendRefusal } from './replies.js';
import { PROJECTIONS } from './tokens.js';

/** For those who run the service: how far the read model is, and to make it anew. */
@ApiExcludeController()
@Controller('ops/projections')
export class ProjectionsController {
  constructor(@Inject(PROJECTIONS) private readonly projections: ProjectionsControl | null) {}

  @Get()
  status(@Res() reply: FastifyReply): void {
    if (this.projections === null) return sendRefusal(reply, OFF);
    sendDocument(reply, 200, JSON.stringify(shown(this.projections.status())));
  }

  /** 202: it runs, begun by this request or before. */
  @Post('rebuild')
  rebuild(@Req() request: FastifyRequest, @Res() reply: FastifyReply): void {
    if (this.projections === null) return sendRefusal(reply, OFF);
    // A browser sends JSON to another origin only after asking, which this service never allows.
    if (!/^application\/json\b/.test(request.headers['content-type'] ?? '')) {
      return sendRefusal(reply, { code: 415, message: 'Content-Type must be application/json' });
    }
    sendDocument(reply, 202, JSON.stringify(shown(this.projections.rebuild())));
  }
}

const OFF = { code: 503, message: 'This process keeps no read model: PROJECTIONS is off' };

function shown({ position, lagMs, rebuild, problem }: ProjectionsStatus): object {
  return { position: String(position ?? 0), lagMs: Math.ceil(lagMs), rebuild, problem };
}
