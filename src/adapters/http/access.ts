import { type FastifyInstance, type FastifyRequest } from 'fastify';
import {
  type Action,
  type Caller,
  FORBIDDEN,
  mayEver,
  mayOnDevice,
  mayOnPrefix,
} from '../../application/access/rules.js';
import { maySendUpdate } from '../../application/access/sent-update.js';
import { type Refusal } from '../../replica/commands.js';
import { callerOf } from './gate.js';
import { sendRefusal } from './replies.js';

const PREFIX_NEEDED: Refusal = {
  code: 403,
  message: 'This caller may ask for its own devices alone: give a prefix of theirs',
};

/** What a route does, and to whom. */
export type Need =
  | { readonly of: 'device'; readonly action: Action }
  /** Report, desire or both: the body tells. */
  | { readonly of: 'update' }
  /** The devices with the prefix that stands in the query. */
  | { readonly of: 'prefix'; readonly action: Action }
  /** All devices, without a prefix. */
  | { readonly of: 'fleet'; readonly action: Action }
  /** The devices stand in the body. */
  | { readonly of: 'listed'; readonly action: Action }
  | { readonly of: 'service'; readonly action: Action }
  | { readonly of: 'everybody' };

const device = (action: Action): Need => ({ of: 'device', action });
const prefix = (action: Action): Need => ({ of: 'prefix', action });
const service = (action: Action): Need => ({ of: 'service', action });

/** Every route, with `state` for the prefix. One that is missing here is the operator's alone. */
export const NEEDS: Readonly<Record<string, Need>> = {
  'GET /state/:deviceId': device('read'),
  'GET /state/:deviceId/get': device('read'),
  'GET /state/:deviceId/delta': device('read'),
  'POST /state/:deviceId/update': { of: 'update' },
  'DELETE /state/:deviceId': device('delete'),
  'GET /state/:deviceId/presence': device('read'),
  'GET /state/:deviceId/events': device('follow'),
  'GET /state/:deviceId/history': device('history'),
  'GET /state/:deviceId/convergence': device('history'),
  'GET /state/:deviceId/diff': device('history'),
  'GET /state/:deviceId/explain': device('history'),
  'POST /state/:deviceId/revert': device('revert'),
  'GET /things/:thing/shadow': device('read'),
  'POST /things/:thing/shadow': { of: 'update' },
  'DELETE /things/:thing/shadow': device('delete'),
  'GET /api/things/shadow/ListNamedShadowsForThing/:thing': device('read'),
  'GET /fleet': prefix('list-fleet'),
  'GET /fleet/count': prefix('list-fleet'),
  'GET /fleet/convergence': { of: 'fleet', action: 'list-fleet' },
  'GET /fleet/events': prefix('follow-fleet'),
  'POST /fleet/as-of': { of: 'listed', action: 'history' },
  'GET /ops/projections': service('operate'),
  'POST /ops/projections/rebuild': service('operate'),
  'GET /metrics': service('metrics'),
  'GET /health/live': { of: 'everybody' },
  'GET /health/ready': { of: 'everybody' },
};

/** The pages below `/docs`, whose files are not routes of their own here. */
export const DOCS_NEED = service('docs');
const DOCS = /^\/docs(?:$|\/|-json$|-yaml$)/;

/** @param topicPrefix what the paths of devices begin with */
function needOf(method: string, route: string, topicPrefix: string): Need {
  const verb = method === 'HEAD' ? 'GET' : method;
  const start = `/${topicPrefix}/`;
  const name = route.startsWith(start) ? `/state/${route.slice(start.length)}` : route;
  if (verb === 'GET' && DOCS.test(route)) return DOCS_NEED;
  return NEEDS[`${verb} ${name}`] ?? service('operate');
}

/** Refuses with 403, as soon as it is known which route is asked for, what the caller may not do. */
export function guardRoutes(
  instance: FastifyInstance,
  topicPrefix: string,
  onRefused: (code: 403) => void,
): void {
  instance.addHook('onRequest', (request, reply, done) => {
    const refusal = refusalOf(request, topicPrefix);
    if (refusal === null) done();
    else sendRefusal(reply, refusal);
  });
  // Here, since some are refused where the body is known.
  instance.addHook('onResponse', (_request, reply, done) => {
    if (reply.statusCode === 403) onRefused(403);
    done();
  });
}

function refusalOf(request: FastifyRequest, topicPrefix: string): Refusal | null {
  const caller = callerOf(request.raw);
  const { url } = request.routeOptions;
  // Whoever is known may know that there is no such route.
  if (url === undefined || request.is404) return null;
  const need = needOf(request.method, url, topicPrefix);
  if (need.of === 'everybody') return null;
  // The gate does not let it come so far.
  if (caller === undefined) return FORBIDDEN;
  return refusalFor(caller, need, request);
}

function refusalFor(
  caller: Caller,
  need: Exclude<Need, { of: 'everybody' }>,
  request: FastifyRequest,
): Refusal | null {
  switch (need.of) {
    case 'device': {
      const action = need.action === 'read' && asksForThePast(request) ? 'history' : need.action;
      return allow(mayOnDevice(caller, action, deviceIdOf(request)));
    }
    case 'update': {
      const deviceId = deviceIdOf(request);
      return allow(mayOnDevice(caller, 'report', deviceId) || mayOnDevice(caller, 'desire', deviceId));
    }
    case 'prefix': {
      if (!mayEver(caller, need.action)) return FORBIDDEN;
      const { prefix } = request.query as Record<string, unknown>;
      const isOwn = mayOnPrefix(caller, need.action, typeof prefix === 'string' ? prefix : '');
      return isOwn ? null : PREFIX_NEEDED;
    }
    case 'fleet':
      return allow(mayOnPrefix(caller, need.action, ''));
    case 'listed':
    case 'service':
      return allow(mayEver(caller, need.action));
    default:
      return need satisfies never;
  }
}

function allow(may: boolean): Refusal | null {
  return may ? null : FORBIDDEN;
}

/** A shadow, whatever its name is, is its thing's. */
function deviceIdOf(request: FastifyRequest): string {
  const { deviceId, thing } = request.params as Readonly<Record<string, string | undefined>>;
  return deviceId ?? thing ?? '';
}

function asksForThePast(request: FastifyRequest): boolean {
  const query = request.query as Record<string, unknown>;
  return query['version'] !== undefined || query['at'] !== undefined;
}

/** Whether the caller may do so to each of the devices that its request has named. */
export function mayOnAll(request: FastifyRequest, action: Action, deviceIds: readonly string[]): boolean {
  const caller = callerOf(request.raw);
  return caller === undefined || deviceIds.every((id) => mayOnDevice(caller, action, id));
}

/** Whether the caller may send this update. */
export function maySend(request: FastifyRequest, deviceId: string, body: Buffer): boolean {
  const caller = callerOf(request.raw);
  return caller === undefined || maySendUpdate(caller, deviceId, body);
}
