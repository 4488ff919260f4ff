import { type DynamicModule, type Provider, type Type } from '@nestjs/common';
import { NestFactory, RouterModule } from '@nestjs/core';
import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Answers } from '../../src/adapters/http/answers.js';
import { Connections } from '../../src/adapters/http/connections.js';
import { createHttpAdapter, RejectedFilter } from '../../src/adapters/http/server.js';
import { OBSERVER } from '../../src/adapters/http/tokens.js';
import { type ReplicaProcess } from './replica-process.js';

const CLOSE_LIMIT_MS = 5000;

class TestModule {}
class StateModule {}

/** The controllers below `state`, or at the root, over HTTP on a port of their own, on what a test gives them. */
export interface HttpParts {
  readonly state?: readonly Type[];
  readonly root?: readonly Type[];
  readonly providers: readonly Provider[];
}

export interface HttpApp {
  readonly url: string;
  get<T>(type: Type<T>): T;
  connections(): Promise<number>;
  /** Runs the hooks of a stop, and closes the port. */
  close(): Promise<void>;
}

/** The service's HTTP side within the test's own process, so that a test can hold up what is beneath it. */
export async function startHttpApp(process: ReplicaProcess, parts: HttpParts): Promise<HttpApp> {
  const { state = [], root = [] } = parts;
  const providers = [{ provide: OBSERVER, useValue: process.observer }, Answers, ...parts.providers];
  const core: DynamicModule = { module: TestModule, global: true, providers, exports: providers };
  const module: DynamicModule = {
    module: class RootModule {},
    imports: [
      core,
      { module: StateModule, controllers: [...state] },
      RouterModule.register([{ path: 'state', module: StateModule }]),
    ],
    controllers: [...root],
  };
  const adapter = createHttpAdapter(128 * 1024, () => false, 'state', null);
  const app = await NestFactory.create<NestFastifyApplication>(module, adapter, {
    logger: false,
    bodyParser: false,
    abortOnError: false,
  });
  app.useGlobalFilters(new RejectedFilter(process.observer));
  const server = app.getHttpServer();
  const connections = new Connections(server);
  await app.listen(0, '127.0.0.1');
  return {
    url: await app.getUrl(),
    get: (type) => app.get(type),
    connections: () =>
      new Promise((resolve, reject) => {
        server.getConnections((error, count) => (error === null ? resolve(count) : reject(error)));
      }),
    close: () => {
      connections.close(CLOSE_LIMIT_MS);
      return app.close();
    },
  };
}
