import { HttpStatus, Inject, Injectable } from '@nestjs/common';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { DEVICE_TOO_FAST, type Rates } from '../../application/access/rates.js';
import { FORBIDDEN } from '../../application/access/rules.js';
import { randomUUID } from 'node:crypto';
import { type Answer } from '../../application/moments.js';
import { type Bus, BusError, type CommandChannel, type Reply } from '../../application/ports/bus.js';
import { EventStoreError } from '../../application/ports/event-store.js';
import { type LimitObserver } from '../../application/ports/limit-observer.js';
import { type Observer } from '../../application/ports/observer.js';
import { type Refusal, refusals } from '../../replica/commands.js';
import { isObject, type JsonValue, own } from '../../replica/json.js';
import { deviceOfReplica, isReplicaId } from '../../replica/limits.js';
import { maySend } from './access.js';
import { etagOf, goneSignal, matchesEtag, sendDocument, sendRefusal } from './replies.js';
import { BUS, DEVICE_RATES, LIMIT_OBSERVER, OBSERVER } from './tokens.js';

/** What a client sends that goes with the command, whatever bus carries it. */
const FORWARDED: Readonly<Record<string, string>> = {
  'if-match': 'if-match',
  'idempotency-key': 'message-id',
  'correlation-id': 'correlation-id',
  traceparent: 'traceparent',
};

/** More commands of one device than there may be. */
class OverRate extends Error {}

/** How the controllers answer: commands by way of the bus, queries, and what went wrong. */
@Injectable()
export class Answers {
  constructor(
    @Inject(BUS) private readonly bus: Bus,
    @Inject(OBSERVER) private readonly observer: Observer,
    @Inject(DEVICE_RATES) private readonly rates: Rates | null,
    @Inject(LIMIT_OBSERVER) private readonly limits: LimitObserver,
  ) {}

  /** Sends a request's own body in as a command, and answers with what became of it. */
  async command(
    channel: CommandChannel,
    deviceId: string,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<void> {
    if (!isReplicaId(deviceId)) return sendRefusal(reply, refusals.illegalDeviceId);
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    if (channel === 'update' && !maySend(request, deviceId, body)) return sendRefusal(reply, FORBIDDEN);
    const headers = this.headersOf(request, reply);
    try {
      this.send(reply, await this.request(channel, deviceId, body, headers));
    } catch (error) {
      sendRefusal(reply, this.faultOf(error));
    }
  }

  /** Sends a command in, and gives its answer. Throws what {@link faultOf} knows. */
  async request(
    channel: CommandChannel,
    deviceId: string,
    body: Buffer,
    headers: Readonly<Record<string, string>>,
  ): Promise<Reply> {
    const device = deviceOfReplica(deviceId);
    if (this.rates !== null && this.rates.take(device) > 0) {
      this.limits.limited('http', 'device-rate', device);
      throw new OverRate();
    }
    return this.bus.request(channel, deviceId, body, headers);
  }

  /** The headers that go with a command. Its correlation id is the client's, or one that the answer tells. */
  headersOf(request: FastifyRequest, reply: FastifyReply): Record<string, string> {
    const headers: Record<string, string> = {};
    for (const [from, to] of Object.entries(FORWARDED)) {
      const value = request.headers[from];
      if (typeof value === 'string') headers[to] = value;
    }
    headers['correlation-id'] ??= randomUUID();
    void reply.header('correlation-id', headers['correlation-id']);
    return headers;
  }

  /** Answers as the command was answered. */
  send(reply: FastifyReply, answer: Reply): void {
    const document = JSON.parse(answer.value.toString('utf8')) as JsonValue;
    const number = isObject(document) ? own(document, answer.accepted ? 'version' : 'code') : undefined;
    if (answer.accepted) void reply.header('etag', etagOf(number as number));
    sendDocument(reply, answer.accepted ? HttpStatus.OK : (number as number), answer.value);
  }

  /** Answers with a document and its version; `read` gives null where no replica exists. */
  async query(
    deviceId: string,
    request: FastifyRequest,
    reply: FastifyReply,
    read: (gone: AbortSignal) => Promise<Answer<{ version: number; document: string | null } | null>>,
  ): Promise<void> {
    if (!isReplicaId(deviceId)) return sendRefusal(reply, refusals.illegalDeviceId);
    const gone = goneSignal(reply);
    try {
      const answer = await read(gone);
      if (!answer.ok) return sendRefusal(reply, answer.refusal);
      const reading = answer.value;
      if (reading === null) return sendRefusal(reply, refusals.notFound(deviceId));
      const etag = etagOf(reading.version);
      void reply.header('etag', etag).header('cache-control', 'no-cache');
      if (matchesEtag(request.headers['if-none-match'], etag)) {
        void reply.status(HttpStatus.NOT_MODIFIED).send();
      } else if (reading.document === null) {
        void reply.status(HttpStatus.NO_CONTENT).send();
      } else {
        sendDocument(reply, HttpStatus.OK, reading.document);
      }
    } catch (error) {
      // Nobody is there to be answered, and it may be just that which ended the work.
      if (gone.aborted) return;
      sendRefusal(reply, this.faultOf(error));
    }
  }

  /** Answers with a value as JSON, or with its refusal. */
  async json<T>(
    deviceId: string,
    reply: FastifyReply,
    ask: (gone: AbortSignal) => Promise<Answer<T>>,
  ): Promise<void> {
    if (!isReplicaId(deviceId)) return sendRefusal(reply, refusals.illegalDeviceId);
    await this.text(reply, async (gone) => {
      const answer = await ask(gone);
      return answer.ok ? { ok: true, value: JSON.stringify(answer.value) } : answer;
    });
  }

  /** Answers with what is JSON text already, or with its refusal. */
  async text(reply: FastifyReply, ask: (gone: AbortSignal) => Promise<Answer<string>>): Promise<void> {
    const gone = goneSignal(reply);
    try {
      const answer = await ask(gone);
      if (!answer.ok) return sendRefusal(reply, answer.refusal);
      void reply.header('cache-control', 'no-cache');
      sendDocument(reply, HttpStatus.OK, answer.value);
    } catch (error) {
      if (gone.aborted) return;
      sendRefusal(reply, this.faultOf(error));
    }
  }

  /** Why a command got no answer, as an answer. */
  faultOf(error: unknown): Refusal {
    if (error instanceof OverRate) return DEVICE_TOO_FAST;
    if (error instanceof BusError && error.code === 'reply-timeout') {
      const message =
        'No answer in time; the command may still take effect. Send it again with the same Idempotency-Key';
      return { code: 504, message };
    }
    if (error instanceof BusError && (error.canRetry || error.code === 'closed')) {
      return { code: 503, message: `Not available now: ${error.message}` };
    }
    if (error instanceof EventStoreError && (error.canRetry || error.code === 'closed')) {
      return { code: 503, message: 'The event store is not available now' };
    }
    this.observer.failed('http', error);
    return { code: 500, message: 'Internal error' };
  }
}
