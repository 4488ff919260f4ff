/**
 * The bare server that `GET /state/{id}` is measured against: node:http, stock, that answers each path with the bytes
 * that it was given for it, and does nothing else.
 */
import { createServer } from 'node:http';
import { type AddressInfo } from 'node:net';

export interface BareAnswer {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

process.once('message', (answers: readonly BareAnswer[]) => {
  const byPath = new Map(answers.map(({ path, headers, body }) => [path, { headers, body }]));
  const server = createServer((request, response) => {
    const answer = byPath.get(request.url ?? '');
    if (answer === undefined) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, answer.headers);
    response.end(answer.body);
  });
  server.keepAliveTimeout = 72_000;
  server.listen(0, '127.0.0.1', () => {
    process.stdout.write(`listening ${(server.address() as AddressInfo).port}\n`);
  });
});
