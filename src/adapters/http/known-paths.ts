import { type FastifyInstance } from 'fastify';
import { sendRefusal } from './replies.js';

/** Answers 405 with `Allow` where a path has routes, but none of the method; whatever the body is. */
export function refuseOtherMethods(instance: FastifyInstance): void {
  const routes = new Map<string, { readonly path: RegExp; readonly methods: Set<string> }>();
  instance.addHook('onRoute', ({ url, method }) => {
    // The pages' files, which are found by a wildcard.
    if (url.includes('*')) return;
    const route = routes.get(url) ?? { path: patternOf(url), methods: new Set<string>() };
    for (const each of [method].flat()) route.methods.add(each);
    routes.set(url, route);
  });
  instance.addHook('onRequest', (request, reply, done) => {
    if (!request.is404) return done();
    const [path = ''] = request.url.split('?', 1);
    const allowed = [...routes.values()].filter((route) => route.path.test(path));
    const methods = new Set(allowed.flatMap((route) => [...route.methods]));
    // A method that there is, and still no route: a body that cannot be read, for one.
    if (methods.size === 0 || methods.has(request.method)) return done();
    void reply.header('allow', [...methods].join(', '));
    sendRefusal(reply, { code: 405, message: `There is no ${request.method} here` });
  });
}

function patternOf(url: string): RegExp {
  const levels = url.split('/').map((level) => (level.startsWith(':') ? '[^/]+' : escaped(level)));
  return new RegExp(`^${levels.join('/')}$`);
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}
