import { randomUUID } from 'node:crypto';
import { Controller, Inject, ValidationPipe } from '@nestjs/common';
import { ClientKafka, Ctx, EventPattern, KafkaContext, Payload } from '@nestjs/microservices';
import { lastValueFrom } from 'rxjs';
import { type EventStore } from '../../src/application/ports/event-store.js';
import { decide } from '../../src/replica/decide.js';
import { type Origin } from '../../src/replica/events.js';
import { DEFAULT_LIMITS } from '../../src/replica/limits.js';
import { emptyReplica, type Replica } from '../../src/replica/replica.js';
import { applyAndRespond } from '../../src/replica/respond.js';
import { encodeData, encodeMetadata, streamOf } from '../../src/replica/stored.js';
import { UpdateDto } from './update.dto.js';

export const STORE = Symbol('event store');
export const CLIENT = Symbol('Kafka client');
const PREFIX = process.env['TOPIC_PREFIX'] as string;
const UPDATES = `${PREFIX}.update`;
const DECIDE = { limits: DEFAULT_LIMITS, unchangedUpdates: 'record' } as const;

/**
 * One message after the other: check, decide, append, send, send; each step is awaited. The rules and documents are the
 * service's own, so that what differs is how messages come in, are recorded and go out. Replicas are kept for ever.
 */
@Controller()
export class UpdatesController {
  private readonly replicas = new Map<string, Replica>();

  constructor(
    @Inject(STORE) private readonly store: EventStore,
    @Inject(CLIENT) private readonly client: ClientKafka,
  ) {}

  @EventPattern<string>(UPDATES)
  async update(
    // What the type is must be said: esbuild, which runs this, hands no types of parameters on.
    @Payload(new ValidationPipe({ expectedType: UpdateDto, transform: true, whitelist: true }))
    { state, version, clientToken }: UpdateDto,
    @Ctx() context: KafkaContext,
  ): Promise<void> {
    const { key, offset, timestamp } = context.getMessage();
    const deviceId = String(key);
    const replica = this.replicas.get(deviceId) ?? emptyReplica(deviceId);
    this.replicas.set(deviceId, replica);
    const commandId = randomUUID();
    const source = {
      topic: context.getTopic(),
      partition: context.getPartition(),
      offset: Number(offset),
      timestamp: Number(timestamp),
      log: '',
    };
    const origin: Origin = { commandId, fingerprint: `update:${commandId}`, source };
    const command = { kind: 'update', origin, state, version, clientToken } as const;
    const decision = decide(replica, command, Date.now(), DECIDE);
    if (decision.kind === 'refused') {
      await this.send('update.rejected', deviceId, JSON.stringify(decision.refusal));
      return;
    }
    const { revision } = replica;
    const [result] = await this.store.append([
      {
        stream: streamOf(deviceId),
        expectedRevision: revision,
        events: decision.events.map((event) => ({
          id: randomUUID(),
          type: event.type,
          data: encodeData(deviceId, event),
          metadata: encodeMetadata(origin),
        })),
      },
    ]);
    if (result?.kind !== 'appended') throw new Error(`Not appended: ${JSON.stringify(result)}`);
    const { accepted, delta } = applyAndRespond(replica, decision.events, origin, revision + 1, false);
    await this.send('update.accepted', deviceId, accepted);
    if (delta !== undefined) await this.send('update.delta', deviceId, delta);
  }

  private async send(channel: string, key: string, value: string): Promise<void> {
    await lastValueFrom(this.client.emit(`${PREFIX}.${channel}`, { key, value }));
  }
}
