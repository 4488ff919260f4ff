import { isIPv4 } from 'node:net';
import { type Refusal } from '../../replica/commands.js';
import { rejectedDocument } from '../../replica/documents.js';
import { JSON_TYPE } from './replies.js';
import { type AnswersAhead } from './server.js';

const FOREIGN: Refusal = {
  code: 403,
  message:
    'Without authentication the service is reached by an address or as localhost alone (see ALLOW_UNAUTHENTICATED)',
};

/**
 * Refuses requests under another name than an address or `localhost`. A page from elsewhere can have its own name lead
 * to this machine, so that a browser takes what answers there for the page's own; the name is what tells them apart.
 */
export function forOwnMachine(next: AnswersAhead): AnswersAhead {
  // Most requests have the one of the request before them.
  let lastOwn: string | null = null;
  const isOwn = (host: string): boolean => {
    if (host === lastOwn) return true;
    if (!isOfThisMachine(host)) return false;
    lastOwn = host;
    return true;
  };
  return (request, response) => {
    if (areHosts(request.rawHeaders, isOwn)) return next(request, response);
    const body = rejectedDocument(FOREIGN, Date.now());
    response.writeHead(FOREIGN.code, {
      'content-type': JSON_TYPE,
      'content-length': Buffer.byteLength(body),
      connection: 'close',
    });
    response.end(body);
    return true;
  };
}

/** Whether each host that is named is such a one. By the raw names, as the answers ahead do. No browser leaves it out. */
function areHosts(rawHeaders: readonly string[], isSuch: (host: string) => boolean): boolean {
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    if (name.length !== 4 || name.toLowerCase() !== 'host') continue;
    if (!isSuch(rawHeaders[index + 1] ?? '')) return false;
  }
  return true;
}

const WITHOUT_PORT = /^(.*?)(?::\d*)?$/;
const IPV6 = /^\[[0-9a-f:.]+\]$/i;
const LOCALHOST = /^(?:.+\.)?localhost\.?$/i;

/** Whether nobody elsewhere can have this name lead here. */
export function isOfThisMachine(host: string): boolean {
  const name = WITHOUT_PORT.exec(host)?.[1] ?? '';
  return isIPv4(name) || IPV6.test(name) || LOCALHOST.test(name);
}
