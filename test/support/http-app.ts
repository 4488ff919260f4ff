import { type DynamicModule, type Provider, type Type } from '@nestjs/common';
import { NestFactory, RouterModule } from '@nestjs/core';
import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Answers } from '../../src/adapters/http/answers.js';
import { Connections } from '../../src/adapters/http/connections.js';
import { RequestLimits } from '../../src/adapters/http/request-limits.js';
import { InFlight } from '../../src/application/access/in-flight.js';
import { createHttpAdapter, RejectedFilter } from '../../src/adapters/http/server.js';
import { DEVICE_RATES, LIMIT_OBSERVER, OBSERVER } from '../../src/adapters/http/tokens.js';
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
  const observer = { limited: () => undefined };
  const providers = [
    { provide: OBSERVER, useValue: process.observer },
    { provide: LIMIT_OBSERVER, useValue: observer },
    { provide: DEVICE_RATES, useValue: null },
    Answers,
    ...parts.providers,
  ];
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
  const maxRequestBytes = 128 * 1024;
  const connections = new Connections({ maxCount: 10_000, maxAddressCount: 0, stallMs: 30_000, observer });
  const adapter = createHttpAdapter({
    maxRequestBytes,
    arrivalMs: 30_000,
    tls: null,
    prefix: 'state',
    ahead: () => false,
    gate: null,
    limits: new RequestLimits({
      rates: null,
      inFlight: new InFlight(1 << 25),
      maxCallerCount: 1000,
      maxCallerBytes: 1 << 24,
      maxRequestBytes,
      observer,
    }),
    connections,
    observer,
  });
  const app = await NestFactory.create<NestFastifyApplication>(module, adapter, {
    logger: false,
    bodyParser: false,
    abortOnError: false,
  });
  app.useGlobalFilters(new RejectedFilter(process.observer, observer));
  const server = app.getHttpServer();
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
