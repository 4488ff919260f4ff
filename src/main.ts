import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { type Logger } from 'pino';
import { CommandIntake } from './adapters/bus/command-intake.strategy.js';
import { guardRoutes } from './adapters/http/access.js';
import { Connections } from './adapters/http/connections.js';
import { Gate } from './adapters/http/gate.js';
import { forOwnMachine } from './adapters/http/own-machine.js';
import { quickGets } from './adapters/http/quick-gets.js';
import { createHttpAdapter, RejectedFilter } from './adapters/http/server.js';
import { BUS, OBSERVER } from './adapters/http/tokens.js';
import { AppModule } from './app.module.js';
import { Rates } from './application/access/rates.js';
import { ReadReplica } from './application/read-replica.js';
import { type Bus } from './application/ports/bus.js';
import { readSettings, requireAuthentication, type Settings } from './config/settings.js';
import { whyNotListening } from './listening.js';
import { MqttListener } from './mqtt.module.js';
import { createLogger, NestLogger } from './observability/logger.js';
import { type Metrics } from './observability/metrics.js';
import { openAccess } from './open-access.js';

/** Starts the service; resolves when it takes commands and requests. Throws where it cannot start. */
async function start(settings: Settings, logger: Logger): Promise<NestFastifyApplication> {
  requireAuthentication(settings);
  const access = openAccess(settings, logger);
  let reader: ReadReplica | null = null;
  let metrics: Metrics | null = null;
  const refused = (code: 401 | 403 | 429 | 503): void => metrics?.accessRefused(code);
  const gate =
    access === null
      ? null
      : new Gate(access, {
          maxDiscardedBytes: settings.MAX_REQUEST_BYTES,
          rates: ratesOf(settings),
          onRefused: refused,
        });
  const quick = quickGets(settings.TOPIC_PREFIX, (deviceId) => reader?.getNow(deviceId) ?? null);
  const isForOwnMachine = access === null && settings.ALLOW_UNAUTHENTICATED === 'off';
  const ahead = isForOwnMachine ? forOwnMachine(quick) : quick;
  const adapter = createHttpAdapter(settings.MAX_REQUEST_BYTES, ahead, settings.TOPIC_PREFIX, gate);
  if (gate !== null) guardRoutes(adapter.getInstance(), settings.TOPIC_PREFIX, refused);
  const app = await NestFactory.create<NestFastifyApplication>(
    AppModule.create(settings, logger, access),
    adapter,
    {
      logger: new NestLogger(logger),
      bodyParser: false,
      abortOnError: false,
    },
  );
  try {
    reader = app.get(ReadReplica);
    metrics = app.get<Metrics>(OBSERVER);
    app.useGlobalFilters(new RejectedFilter(metrics));
    const description = describeApi();
    SwaggerModule.setup('docs', app, () => SwaggerModule.createDocument(app, description));
    app.connectMicroservice({ strategy: new CommandIntake(app.get<Bus>(BUS)) });
    await app.startAllMicroservices();
    await app.listen(settings.PORT, settings.HOST);
  } catch (error) {
    await app.close();
    throw error;
  }
  return app;
}

function ratesOf({ MAX_REQUESTS_PER_SECOND_COUNT: perSecond }: Settings): Rates | null {
  return perSecond === 0 ? null : new Rates(perSecond, () => performance.now());
}

function describeApi(): Omit<OpenAPIObject, 'paths'> {
  return new DocumentBuilder()
    .setTitle('Device State Replica')
    .setDescription('Reported and desired state of devices, and the delta between them')
    .setLicense('Apache-2.0', 'https://www.apache.org/licenses/LICENSE-2.0')
    .addBearerAuth({ type: 'http', description: 'An API key, or a token of OIDC_ISSUER' }, 'bearer')
    .addApiKey({ type: 'apiKey', in: 'header', name: 'x-api-key', description: 'An API key' }, 'apiKey')
    .addSecurityRequirements('bearer')
    .addSecurityRequirements('apiKey')
    .build();
}

/** The first signal finishes and commits the work in hand and ends with code 0; a second one ends at once. */
function stopOnSignal(app: NestFastifyApplication, settings: Settings, logger: Logger): void {
  const connections = new Connections(app.getHttpServer());
  let stopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    if (stopping) process.exit(1);
    stopping = true;
    logger.info({ signal }, 'Stopping');
    connections.close(settings.SHUTDOWN_TIMEOUT_MS);
    app.close().then(
      () => {
        logger.info('Stopped');
        process.exit(0);
      },
      (error: unknown) => {
        logger.error({ err: error }, 'The stop failed');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

/** One line for a person, whatever went wrong. */
function explain(error: unknown, settings: Settings | undefined): string {
  if (!(error instanceof Error)) return String(error);
  const http = { portName: 'PORT', port: settings?.PORT, hostName: 'HOST', host: settings?.HOST };
  return whyNotListening(error, http) ?? error.message.split('\n', 1)[0] ?? error.name;
}

let settings: Settings | undefined;
try {
  settings = readSettings(process.env);
  const logger = createLogger(settings.LOG_LEVEL);
  process.on('unhandledRejection', (error) => {
    logger.fatal({ err: error }, 'A failure that nothing handles: stopping');
    process.exit(1);
  });
  const app = await start(settings, logger);
  stopOnSignal(app, settings, logger);
  const bus = settings.KAFKA_BROKERS === undefined ? 'in-process' : settings.KAFKA_BROKERS;
  // Not the connection string, which may hold a password; the store's own log lines name its host.
  const eventStore = settings.EVENTSTORE_CONNECTION_STRING === undefined ? 'SQLite' : 'EventStoreDB';
  const mqtt = app.get(MqttListener).address ?? 'off';
  const facts = { url: await app.getUrl(), mqtt, bus, eventStore, dataDir: settings.DATA_DIR };
  logger.info(facts, 'Device State Replica is ready');
} catch (error) {
  process.stderr.write(`device-state-replica: ${explain(error, settings)}\n`);
  process.exit(1);
}
