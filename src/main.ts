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
import { RequestLimits } from './adapters/http/request-limits.js';
import { createHttpAdapter, RejectedFilter } from './adapters/http/server.js';
import { BUS } from './adapters/http/tokens.js';
import { AppModule } from './app.module.js';
import { InFlight } from './application/access/in-flight.js';
import { ReadReplica } from './application/read-replica.js';
import { type Bus } from './application/ports/bus.js';
import { readSettings, requireAuthentication, type Settings } from './config/settings.js';
import { type Limits, makeLimits } from './limits.js';
import { whyNotListening } from './listening.js';
import { MqttListener } from './mqtt.module.js';
import { createLogger, NestLogger } from './observability/logger.js';
import { Metrics } from './observability/metrics.js';
import { openAccess } from './open-access.js';
import { openHttpTls } from './open-tls.js';

interface Started {
  readonly app: NestFastifyApplication;
  readonly connections: Connections;
}

/** Starts the service; resolves when it takes commands and requests. Throws where it cannot start. */
async function start(settings: Settings, logger: Logger): Promise<Started> {
  requireAuthentication(settings);
  const access = openAccess(settings, logger);
  let reader: ReadReplica | null = null;
  const metrics = new Metrics(logger);
  const limits = makeLimits(settings);
  const refused = (code: 401 | 403 | 503): void => metrics.accessRefused(code);
  const gate =
    access === null
      ? null
      : new Gate(access, { maxDiscardedBytes: settings.MAX_REQUEST_BYTES, onRefused: refused });
  const quick = quickGets(settings.TOPIC_PREFIX, (deviceId) => reader?.getNow(deviceId) ?? null);
  const isForOwnMachine = access === null && settings.ALLOW_UNAUTHENTICATED === 'off';
  const connections = connectionsOf(settings, metrics);
  const adapter = createHttpAdapter({
    maxRequestBytes: settings.MAX_REQUEST_BYTES,
    arrivalMs: settings.ARRIVAL_TIMEOUT_MS,
    tls: openHttpTls(settings, logger),
    prefix: settings.TOPIC_PREFIX,
    ahead: isForOwnMachine ? forOwnMachine(quick) : quick,
    gate,
    limits: requestLimitsOf(settings, limits, metrics),
    connections,
    observer: metrics.limits,
  });
  if (gate !== null) guardRoutes(adapter.getInstance(), settings.TOPIC_PREFIX, refused);
  const app = await NestFactory.create<NestFastifyApplication>(
    AppModule.create(settings, logger, metrics, access, limits),
    adapter,
    {
      logger: new NestLogger(logger),
      bodyParser: false,
      abortOnError: false,
    },
  );
  try {
    reader = app.get(ReadReplica);
    app.useGlobalFilters(new RejectedFilter(metrics, metrics.limits));
    const description = describeApi(access !== null);
    SwaggerModule.setup('docs', app, () => SwaggerModule.createDocument(app, description));
    app.connectMicroservice({ strategy: new CommandIntake(app.get<Bus>(BUS)) });
    await app.startAllMicroservices();
    await app.listen(settings.PORT, settings.HOST);
  } catch (error) {
    await app.close();
    throw error;
  }
  return { app, connections };
}

function connectionsOf(settings: Settings, metrics: Metrics): Connections {
  return new Connections({
    maxCount: settings.MAX_CONNECTION_COUNT,
    maxAddressCount: settings.MAX_CONNECTIONS_PER_ADDRESS_COUNT,
    stallMs: settings.FOLLOWER_STALL_MS,
    observer: metrics.limits,
  });
}

function requestLimitsOf(settings: Settings, limits: Limits, metrics: Metrics): RequestLimits {
  const maxBytes = settings.MAX_IN_FLIGHT_BYTES;
  return new RequestLimits({
    rates: limits.callerRates,
    inFlight: new InFlight(maxBytes),
    maxCallerCount: settings.MAX_REQUESTS_IN_FLIGHT_COUNT,
    // So that large requests of one caller leave room for others'.
    maxCallerBytes: maxBytes / 2,
    maxRequestBytes: settings.MAX_REQUEST_BYTES,
    observer: metrics.limits,
  });
}

/** @param isGuarded whether callers are asked who they are */
function describeApi(isGuarded: boolean): Omit<OpenAPIObject, 'paths'> {
  const builder = new DocumentBuilder()
    .setTitle('Device State Replica')
    .setDescription('Reported and desired state of devices, and the delta between them')
    .setLicense('Apache-2.0', 'https://www.apache.org/licenses/LICENSE-2.0');
  if (!isGuarded) return builder.build();
  return builder
    .addBearerAuth({ type: 'http', description: 'An API key, or a token of OIDC_ISSUER' }, 'bearer')
    .addApiKey({ type: 'apiKey', in: 'header', name: 'x-api-key', description: 'An API key' }, 'apiKey')
    .addSecurityRequirements('bearer')
    .addSecurityRequirements('apiKey')
    .build();
}

/** The first signal finishes and commits the work in hand and ends with code 0; a second one ends at once. */
function stopOnSignal({ app, connections }: Started, settings: Settings, logger: Logger): void {
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
  const started = await start(settings, logger);
  stopOnSignal(started, settings, logger);
  const { app } = started;
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
