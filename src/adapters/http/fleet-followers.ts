import { Injectable } from '@nestjs/common';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { type FleetPlace, formatFleetId, parseFleetId } from '../../application/fleet-tail.js';
import { type FleetFilter, FollowFleet } from '../../application/follow-fleet.js';
import { answer, type Answer, refuse } from '../../application/moments.js';
import { FLEET_KINDS, type FleetKind } from '../../application/render-commands.js';
import { isIdPrefix } from '../../replica/limits.js';
import { EventStreams, lastEventIdOf, sendStreamHead } from './event-stream.js';
import { sendRefusal } from './replies.js';

/** Documents, which hold each device's whole state twice, only where they are asked for. */
export const DEFAULT_KINDS: readonly FleetKind[] = ['accepted', 'delta', 'delete-accepted'];

/** The stream of all devices: from the event store alone, so that a reader can resume without a gap. */
@Injectable()
export class FleetFollowers {
  constructor(
    private readonly fleet: FollowFleet,
    private readonly streams: EventStreams,
  ) {}

  /** Answers with the stream and resolves when it has ended. Throws `EventStoreError` before the answer begins. */
  async follow(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const asked = readRequest(request);
    if (!asked.ok) return sendRefusal(reply, asked.refusal);
    if (request.method === 'HEAD') return sendStreamHead(reply);
    const { from, filter } = asked.value;
    await this.streams.run('fleet', reply, async (stream) => {
      const reader = await this.fleet.open(from, filter);
      let { place } = reader;
      try {
        stream.begin(() => formatFleetId(place));
        for await (const batch of reader.follow(stream.signal)) {
          const { outputs } = batch;
          if (outputs.length > 0) await stream.send(Buffer.concat(outputs));
          place = batch.place;
        }
      } finally {
        reader.leave();
      }
    });
  }
}

interface Asked {
  readonly from: FleetPlace | null;
  readonly filter: FleetFilter;
}

/** A parameter that is not known is refused: to leave it out would send other events than were asked for. */
function readRequest(request: FastifyRequest): Answer<Asked> {
  const query = request.query as Record<string, unknown>;
  for (const [name, value] of Object.entries(query)) {
    if (name !== 'after' && name !== 'prefix' && name !== 'kinds') {
      return refuse(400, `Unknown parameter: '${name}'`);
    }
    if (typeof value !== 'string') return refuse(400, `Parameter given more than once: '${name}'`);
  }
  const { after, prefix = '', kinds } = query as Record<string, string | undefined>;
  const id = lastEventIdOf(request, after);
  const from = id === undefined ? null : parseFleetId(id);
  if (id !== undefined && from === null) {
    return refuse(400, 'Last-Event-ID or after is not an id of this stream, nor a position');
  }
  if (prefix !== '' && !isIdPrefix(prefix)) {
    return refuse(400, 'Invalid prefix: of [A-Za-z0-9:._/-], as ids are');
  }
  const wanted = kinds === undefined ? DEFAULT_KINDS : (kinds.split(',') as FleetKind[]);
  if (!wanted.every((kind) => (FLEET_KINDS as readonly string[]).includes(kind))) {
    return refuse(400, `Invalid kinds: one or more of ${FLEET_KINDS.join(',')}, separated by commas`);
  }
  return answer({ from, filter: { prefix, kinds: new Set(wanted) } });
}
