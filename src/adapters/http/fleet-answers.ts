import { Inject, Injectable } from '@nestjs/common';
import { type FastifyReply } from 'fastify';
import { type Answer } from '../../application/moments.js';
import { type Observer } from '../../application/ports/observer.js';
import { ReadModelError, type ReadModelQueries } from '../../application/ports/read-model.js';
import { type ProjectionsControl } from '../../application/projections.js';
import { sendDocument, sendRefusal } from './replies.js';
import { OBSERVER, PROJECTIONS, READ_MODEL } from './tokens.js';

/** For the OpenAPI page: what every answer from the read model says of how far it is. */
export const POSITION_HEADERS = {
  'x-projection-position': {
    description: 'Position of the last event that is shown; 0: none',
    schema: { type: 'string' },
  },
  'x-projection-lag-ms': {
    description: 'How far behind the rows are, at the most, in milliseconds',
    schema: { type: 'integer' },
  },
} as const;

const UNAVAILABLE = 'The read model is not available now';
const TOO_SLOW =
  'The question takes too long (DATABASE_READ_TIMEOUT_MS): ask with a prefix, inSync or a simpler filter';

/** How questions that the read model knows the answer of are answered; those over all devices saying how far it is. */
@Injectable()
export class FleetAnswers {
  constructor(
    @Inject(READ_MODEL) private readonly model: ReadModelQueries | null,
    @Inject(PROJECTIONS) private readonly projections: ProjectionsControl | null,
    @Inject(OBSERVER) private readonly observer: Observer,
  ) {}

  /** Answers with what is read as JSON; with 503 where no read model is kept, or it is away, or that takes too long. */
  answer(
    reply: FastifyReply,
    read: (model: ReadModelQueries) => Promise<{ position: bigint | null; body: object }>,
  ): Promise<void> {
    return this.text(reply, async (model) => {
      const { position, body } = await read(model);
      void reply
        .header('x-projection-position', String(position ?? 0))
        .header('x-projection-lag-ms', String(Math.ceil(this.projections?.status().lagMs ?? 0)));
      return { ok: true, value: JSON.stringify(body) };
    });
  }

  /** As {@link answer}, with JSON text or a refusal, which does not depend on how far the rows are. */
  async text(reply: FastifyReply, read: (model: ReadModelQueries) => Promise<Answer<string>>): Promise<void> {
    if (this.model === null || this.projections === null) {
      return sendRefusal(reply, {
        code: 503,
        message: 'This process keeps no read model: PROJECTIONS is off',
      });
    }
    try {
      const answer = await read(this.model);
      if (!answer.ok) return sendRefusal(reply, answer.refusal);
      void reply.header('cache-control', 'no-cache');
      sendDocument(reply, 200, answer.value);
    } catch (error) {
      if (!(error instanceof ReadModelError)) this.observer.failed('http', error);
      sendRefusal(
        reply,
        error instanceof ReadModelError
          ? { code: 503, message: error.code === 'too-slow' ? TOO_SLOW : UNAVAILABLE }
          : { code: 500, message: 'Internal error' },
      );
    }
  }
}
