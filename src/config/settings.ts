import 'reflect-metadata';
import { plainToInstance, Transform } from 'class-transformer';
import {
  IsIn,
  IsInt,
  IsNotIn,
  IsOptional,
  IsString,
  Matches,
  Max,
  Min,
  ValidateBy,
  ValidateIf,
  validateSync,
} from 'class-validator';

const KIB = 1024;
const MIB = 1024 * KIB;

/** A setting that is missing or wrong. The message is one line that names the variable and says what it must be. */
export class SettingsError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'SettingsError';
  }
}

/** Reads a whole number; anything else stays as it is, for the validation to refuse. */
const WholeNumber = (): PropertyDecorator =>
  Transform(({ value }: { value: unknown }) =>
    typeof value === 'string' && /^-?\d+$/.test(value.trim()) ? Number(value) : value,
  );

const Whole =
  (min: number, max: number): PropertyDecorator =>
  (target, key) => {
    const message = `must be a whole number from ${min} to ${max}`;
    WholeNumber()(target, key);
    IsInt({ message })(target, key);
    Min(min, { message })(target, key);
    Max(max, { message })(target, key);
  };

const OneOf =
  (...words: string[]): PropertyDecorator =>
  (target, key) =>
    IsIn(words, { message: `must be ${words.join(' or ')}` })(target, key);

function isBrokerUrl(value: unknown): boolean {
  if (typeof value !== 'string' || !URL.canParse(value)) return false;
  const { protocol, hostname, pathname, search, hash } = new URL(value);
  if (!/^mqtts?:$/.test(protocol) || hostname === '' || !['', '/'].includes(pathname)) return false;
  return search === '' && hash === '' && isDecodable(value);
}

function isDecodable(url: string): boolean {
  const { username, password } = new URL(url);
  try {
    decodeURIComponent(username + password);
    return true;
  } catch {
    return false;
  }
}

/** What paths of the service's own begin with. */
const OWN_ROUTES = ['fleet', 'ops', 'health', 'metrics', 'docs', 'docs-json', 'docs-yaml', 'things', 'api'];

const BROKERS = /^[^\s,:]+:\d{1,5}(\s*,\s*[^\s,:]+:\d{1,5})*$/;

const SAFE_URL = /^(https:\/\/[^\s?#]+|http:\/\/(127(\.\d{1,3}){3}|\[::1\]|localhost)(:\d+)?(\/[^\s?#]*)?)$/i;

const EVENTSTORE = /^\s*(esdb|kurrentdb|kurrent|kdb)(\+discover)?:\/\/\S/i;

/**
 * The environment, typed and checked: a property for each variable, under the variable's own name. Units stand in the
 * names: `_MS` milliseconds, `_BYTES` bytes, `_COUNT` a number of things.
 */
export class Settings {
  /** TCP port of HTTP; 0: any free one. */
  @Whole(0, 65535) PORT: number = 3000;
  /** Address that HTTP listens on. */
  @IsString() HOST: string = '127.0.0.1';
  /** The API keys' hashes and whom they let in. Absent, and OIDC_ISSUER as well: everyone may do everything. */
  @IsOptional() @IsString() API_KEYS_FILE?: string;
  /** Of an OpenID Connect issuer, as it stands in its tokens, which are then let in. */
  @IsOptional()
  @Matches(SAFE_URL, { message: 'must be https://…, or http://… on the loopback address' })
  OIDC_ISSUER?: string;
  /** What tokens must be meant for. */
  @ValidateIf((s: Settings) => s.OIDC_ISSUER !== undefined)
  @IsString({ message: 'is needed with OIDC_ISSUER' })
  OIDC_AUDIENCE?: string;
  /** The claims that hold the role, and the devices where the role has some. */
  @IsString() OIDC_ROLE_CLAIM: string = 'role';
  @IsString() OIDC_DEVICES_CLAIM: string = 'devices';
  /** How long an answer of the issuer may take. */
  @Whole(100, 60_000) OIDC_TIMEOUT_MS: number = 5000;
  /** PEM files of the service's own certificate: REST is HTTPS then. Absent: HTTP. */
  @IsOptional() @IsString() HTTP_TLS_CERT_FILE?: string;
  @IsOptional() @IsString() HTTP_TLS_KEY_FILE?: string;
  /** Whether the service may run without authentication where others than programs of this machine can reach it. */
  @OneOf('on', 'off') ALLOW_UNAUTHENTICATED: string = 'off';
  /** Folder of the SQLite files. Made where it is missing. */
  @IsString() DATA_DIR: string = './data';
  /** `esdb://…` of EventStoreDB or KurrentDB; the adapter reads the rest of it. Absent: SQLite in DATA_DIR. */
  @IsOptional()
  @Matches(EVENTSTORE, { message: 'must begin with esdb:// or esdb+discover://' })
  EVENTSTORE_CONNECTION_STRING?: string;
  /** `postgresql://…` of the read model; the adapter reads the rest of it. Absent: SQLite in DATA_DIR. */
  @IsOptional()
  @Matches(/^\s*postgres(ql)?:\/\/\S/i, { message: 'must begin with postgresql://' })
  DATABASE_URL?: string;
  /** Connections to PostgreSQL for questions; the projection has some more of its own. */
  @Whole(1, 1000) DATABASE_POOL_COUNT: number = 10;
  /** How long PostgreSQL may work on a question. */
  @Whole(100, 600_000) DATABASE_READ_TIMEOUT_MS: number = 10_000;
  /** Whether the service has an MQTT broker of its own. Absent: on, but off with Kafka or MQTT_URL. */
  @IsOptional() @OneOf('on', 'off') MQTT?: string;
  /** Address that MQTT listens on. */
  @IsString() MQTT_HOST: string = '127.0.0.1';
  /** TCP port of MQTT; 0: any free one. Absent: 1883, with TLS 8883. */
  @IsOptional() @Whole(0, 65535) MQTT_PORT?: number;
  /** The most MQTT connections that are open at once. */
  @Whole(1, 1_000_000) MAX_MQTT_CONNECTION_COUNT: number = 10_000;
  /** Those of one caller that is known; 0: without bounds. */
  @Whole(0, 1_000_000) MAX_MQTT_CONNECTIONS_PER_CALLER_COUNT: number = 1000;
  /** `mqtt://…` or `mqtts://…` of a broker that the service is a client of. Absent: of none. */
  @IsOptional()
  @ValidateBy({
    name: 'isBrokerUrl',
    validator: { validate: isBrokerUrl, defaultMessage: () => 'must be mqtt:// or mqtts://, host and port' },
  })
  MQTT_URL?: string;
  /** At that broker; they come before those in the URL. */
  @IsOptional() @IsString() MQTT_USERNAME?: string;
  @IsOptional() @IsString() MQTT_PASSWORD?: string;
  /**
   * PEM files. With MQTT_URL: of the authority that signed that broker's certificate, where the system does not know it.
   * Else of the one whose client certificates the service's own broker takes.
   */
  @IsOptional() @IsString() MQTT_TLS_CA_FILE?: string;
  /** With MQTT_URL: the client's certificate. Else that of the service's own broker, which speaks TLS then. */
  @IsOptional() @IsString() MQTT_TLS_CERT_FILE?: string;
  @IsOptional() @IsString() MQTT_TLS_KEY_FILE?: string;
  /** What the authority has taken back of the client certificates that the service's own broker takes. */
  @IsOptional() @IsString() MQTT_TLS_CRL_FILE?: string;
  /** By which that broker knows the session of this instance. Absent: one that is kept in DATA_DIR. */
  @IsOptional()
  @Matches(/^[\x21-\x7e]{1,128}$/, { message: 'must be 1 to 128 printable ASCII characters' })
  MQTT_CLIENT_ID?: string;
  /**
   * Whether commands are taken by a shared subscription, as several instances must; off: by an ordinary one. Absent: on
   * with EventStoreDB, which several instances may share, and with MQTT_GROUP.
   */
  @IsOptional() @OneOf('on', 'off') MQTT_SHARED?: string;
  /** The group of the shared subscription: instances that share it share the commands. Absent: device-state-replica. */
  @IsOptional()
  @Matches(/^[^\s/+#]{1,100}$/, { message: 'must be 1 to 100 characters, none of them a space, /, + or #' })
  MQTT_GROUP?: string;
  /** How long that broker is to keep what comes for this instance while it is away. */
  @Whole(1000, 2_592_000_000) MQTT_SESSION_MS: number = 86_400_000;
  /** Whether the addresses of AWS IoT Device Shadow are served, too, by REST and MQTT. */
  @OneOf('on', 'off') AWS_SHADOW_TOPICS: string = 'off';
  /** First part of every topic name and of every REST path; no route of the service's own, which it would hide. */
  @IsNotIn(OWN_ROUTES, {
    message: `must be none of ${OWN_ROUTES.join(', ')}, which are routes of the service`,
  })
  @Matches(/^[A-Za-z0-9_-]{1,100}$/, { message: 'must be 1 to 100 of [A-Za-z0-9_-]' })
  TOPIC_PREFIX: string = 'state';

  /** `host:port`, several separated by commas. Absent: the in-process bus. */
  @IsOptional()
  @Matches(BROKERS, { message: 'must be host:port, several separated by commas' })
  KAFKA_BROKERS?: string;
  @IsString() KAFKA_CLIENT_ID: string = 'device-state-replica';
  /** Consumer group: instances that share it share the work. */
  @IsString() KAFKA_GROUP_ID: string = 'device-state-replica';
  /** Partitions of topics that are made; an existing topic must have at least as many. */
  @Whole(1, 10000) KAFKA_PARTITION_COUNT: number = 12;
  /** Replicas of each partition of topics that are made; −1: the broker's default. */
  @Whole(-1, 100) KAFKA_REPLICATION_COUNT: number = -1;
  @OneOf('on', 'off') KAFKA_TLS: string = 'off';
  /** PEM files. The CA's is needed only where the system does not know it; the other two for client certificates. */
  @IsOptional() @IsString() KAFKA_TLS_CA_FILE?: string;
  @IsOptional() @IsString() KAFKA_TLS_CERT_FILE?: string;
  @IsOptional() @IsString() KAFKA_TLS_KEY_FILE?: string;
  @IsOptional() @OneOf('plain', 'scram-sha-256', 'scram-sha-512') KAFKA_SASL_MECHANISM?: string;
  @ValidateIf((s: Settings) => s.KAFKA_SASL_MECHANISM !== undefined)
  @IsString({ message: 'is needed with KAFKA_SASL_MECHANISM' })
  KAFKA_SASL_USERNAME?: string;
  @ValidateIf((s: Settings) => s.KAFKA_SASL_MECHANISM !== undefined)
  @IsString({ message: 'is needed with KAFKA_SASL_MECHANISM' })
  KAFKA_SASL_PASSWORD?: string;
  /** How long the start waits for a broker. */
  @Whole(100, 600_000) KAFKA_CONNECT_TIMEOUT_MS: number = 10_000;
  /** After this long without a sign of life a member's partitions go to others. */
  @Whole(1000, 600_000) KAFKA_SESSION_TIMEOUT_MS: number = 30_000;

  @OneOf('on', 'off') PUBLISH_DOCUMENTS: string = 'off';
  @OneOf('record', 'skip') UNCHANGED_UPDATES: string = 'record';
  /** Desired and reported together, after the merge. */
  @Whole(64, 512 * KIB) MAX_STATE_BYTES: number = 32 * KIB;
  @Whole(64, 900 * KIB) MAX_REQUEST_BYTES: number = 128 * KIB;
  /** Of each caller, by REST and MQTT, with as many at once; 0: without bounds. */
  @Whole(0, 1_000_000) MAX_REQUESTS_PER_SECOND_COUNT: number = 0;
  /** Of each device, whoever sends them by REST and MQTT, with as many at once; 0: without bounds. */
  @Whole(0, 1_000_000) MAX_DEVICE_COMMANDS_PER_SECOND_COUNT: number = 0;
  /** Requests of one caller that wait for their answers, by REST. */
  @Whole(1, 1_000_000) MAX_REQUESTS_IN_FLIGHT_COUNT: number = 1000;
  /** What all that wait for their answers may take, by REST; by MQTT as much again. */
  @Whole(4 * MIB, 64 * 1024 * MIB) MAX_IN_FLIGHT_BYTES: number = 32 * MIB;
  /** The most HTTP connections that are open at once. */
  @Whole(1, 1_000_000) MAX_CONNECTION_COUNT: number = 10_000;
  /** Of one remote address, HTTP and MQTT each; 0: without bounds. */
  @Whole(0, 1_000_000) MAX_CONNECTIONS_PER_ADDRESS_COUNT: number = 0;
  /** How long what a client has begun to send may take to arrive. */
  @Whole(100, 600_000) ARRIVAL_TIMEOUT_MS: number = 30_000;
  /** Levels of nesting in a section. */
  @Whole(1, 64) MAX_DEPTH_COUNT: number = 6;

  /** Estimated memory of the replicas that are kept in memory. */
  @Whole(0, 64 * 1024 * MIB) CACHE_BYTES: number = 256 * MIB;
  /** A snapshot is made each time that so many more events of a device are recorded; 0: never. */
  @Whole(0, 1_000_000) SNAPSHOT_EVERY_COUNT: number = 500;
  /** Bounds of one unit of work. */
  @Whole(1, 10_000) BATCH_MAX_COUNT: number = 2000;
  @Whole(KIB, 64 * MIB) BATCH_MAX_BYTES: number = 2 * MIB;
  /** Whether this process keeps the read model, from which lists over devices are answered. */
  @OneOf('on', 'off') PROJECTIONS: string = 'on';
  /** The most events whose rows are written together. */
  @Whole(1, 100_000) PROJECTION_BATCH_COUNT: number = 2000;
  /** How long an event may wait for others, so that their rows are written together. */
  @Whole(0, 60_000) PROJECTION_DELAY_MS: number = 100;
  /** Estimated memory of the devices that the projection keeps between batches. */
  @Whole(0, 64 * 1024 * MIB) PROJECTION_CACHE_BYTES: number = 64 * MIB;
  /** How long REST waits for the answer to a command. */
  @Whole(100, 600_000) REQUEST_TIMEOUT_MS: number = 10_000;
  /** How long a stop waits for the work in hand. */
  @Whole(0, 600_000) SHUTDOWN_TIMEOUT_MS: number = 10_000;
  /** The most open event streams (SSE), of devices and of the fleet together. */
  @Whole(0, 1_000_000) MAX_FOLLOWER_COUNT: number = 1000;
  /** Those of one caller that is known; 0: without bounds. */
  @Whole(0, 1_000_000) MAX_FOLLOWERS_PER_CALLER_COUNT: number = 250;
  /** What may wait for one reader of an event stream, beside one event. */
  @Whole(KIB, 64 * MIB) FOLLOWER_WAITING_BYTES: number = 256 * KIB;
  /** A reader of an event stream that takes nothing of what waits for so long is ended. */
  @Whole(100, 600_000) FOLLOWER_STALL_MS: number = 30_000;
  /** Memory of the fleet's latest outputs and of the states that they are made of, for all readers together. */
  @Whole(0, 64 * 1024 * MIB) FOLLOWER_CACHE_BYTES: number = 64 * MIB;
  @OneOf('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent') LOG_LEVEL: string = 'info';
}

/** What may hold a password is never shown. */
const SECRET = /PASSWORD$|CONNECTION_STRING$|^DATABASE_URL$|^MQTT_URL$/;

/** An environment variable that starts like one of ours and is none is a misspelling. */
const OUR_PREFIXES =
  /^(AWS_SHADOW|API_KEY|OIDC_|ALLOW_UNAUTH|EVENTSTORE_CON|DATABASE_|HTTP_TLS|KAFKA_(TLS|SASL|BROKER|PARTITION|REPLICATION|CONNECT|SESSION|GROUP|CLIENT)|BATCH_MAX|MAX_(STATE|REQUEST|DEVICE|DEPTH|FOLLOWER|MQTT|IN_FLIGHT|CONNECTION)|ARRIVAL_|MQTT_|PUBLISH_DOC|UNCHANGED_|SNAPSHOT_|PROJECTION|FOLLOWER_|REQUEST_TIMEOUT|SHUTDOWN_TIMEOUT|CACHE_BYTE|TOPIC_PREF)/;

/**
 * Reads the settings. An empty variable counts as absent.
 *
 * @throws {SettingsError} naming every variable that is wrong, in one line
 */
export function readSettings(environment: Readonly<Record<string, string | undefined>>): Settings {
  const known = new Settings();
  const names = new Set([...Object.keys(known), ...OPTIONAL]);
  const given: Record<string, string> = {};
  const problems: string[] = [];
  for (const [name, value] of Object.entries(environment)) {
    if (value === undefined || value === '') continue;
    if (names.has(name)) given[name] = value;
    else if (OUR_PREFIXES.test(name)) problems.push(`${name}: no such setting; see the table in README.md`);
  }
  const settings = plainToInstance(Settings, given, { exposeDefaultValues: true });
  for (const { property, constraints } of validateSync(settings, { stopAtFirstError: true })) {
    const value = given[property];
    const shown = SECRET.test(property) || value === undefined ? '' : `; it is ${inOneLine(value)}`;
    problems.push(`${property} ${Object.values(constraints ?? {})[0] ?? 'is wrong'}${shown}`);
  }
  if ((settings.KAFKA_TLS_CERT_FILE === undefined) !== (settings.KAFKA_TLS_KEY_FILE === undefined)) {
    problems.push('KAFKA_TLS_CERT_FILE and KAFKA_TLS_KEY_FILE go together');
  }
  for (const name of ['KAFKA_TLS_CA_FILE', 'KAFKA_TLS_CERT_FILE', 'KAFKA_TLS_KEY_FILE'] as const) {
    // Without it the connection would be open, while a file says that it must not be.
    if (settings[name] !== undefined && settings.KAFKA_TLS === 'off')
      problems.push(`${name} needs KAFKA_TLS=on`);
  }
  if (settings.OIDC_AUDIENCE !== undefined && settings.OIDC_ISSUER === undefined) {
    problems.push('OIDC_AUDIENCE needs OIDC_ISSUER');
  }
  for (const name of ['KAFKA_SASL_USERNAME', 'KAFKA_SASL_PASSWORD'] as const) {
    if (settings[name] !== undefined && settings.KAFKA_SASL_MECHANISM === undefined) {
      problems.push(`${name} needs KAFKA_SASL_MECHANISM`);
    }
  }
  for (const protocol of ['MQTT', 'HTTP'] as const) {
    const [cert, key] = [`${protocol}_TLS_CERT_FILE`, `${protocol}_TLS_KEY_FILE`] as const;
    if ((settings[cert] === undefined) !== (settings[key] === undefined)) {
      problems.push(`${cert} and ${key} go together`);
    }
  }
  if (settings.MQTT_GROUP !== undefined && settings.MQTT_SHARED === 'off') {
    problems.push('MQTT_GROUP needs MQTT_SHARED=on');
  }
  for (const name of OF_MQTT_URL) {
    if (given[name] !== undefined && settings.MQTT_URL === undefined) problems.push(`${name} needs MQTT_URL`);
  }
  for (const name of OF_MQTT_TLS) {
    const problem = settings[name] === undefined ? null : problemOfMqttTls(name, settings);
    if (problem !== null) problems.push(`${name} ${problem}`);
  }
  if (problems.length > 0) throw new SettingsError(problems.join('; '));
  return settings;
}

/** Null: the file is of use. */
function problemOfMqttTls(name: (typeof OF_MQTT_TLS)[number], settings: Settings): string | null {
  const { MQTT_URL, MQTT_TLS_CERT_FILE, MQTT_TLS_CA_FILE } = settings;
  if (MQTT_URL !== undefined) {
    if (name === 'MQTT_TLS_CRL_FILE') return 'is for the broker of the service’s own: unset it, or MQTT_URL';
    // Without it the connection would be open, while a file says that it must not be.
    return /^mqtts:/i.test(MQTT_URL) ? null : 'needs MQTT_URL to begin with mqtts://';
  }
  if (!isMqttOn(settings)) return 'needs MQTT_URL or MQTT=on';
  if (name === 'MQTT_TLS_CA_FILE' && MQTT_TLS_CERT_FILE === undefined) {
    return 'needs MQTT_TLS_CERT_FILE and MQTT_TLS_KEY_FILE';
  }
  return name === 'MQTT_TLS_CRL_FILE' && MQTT_TLS_CA_FILE === undefined ? 'needs MQTT_TLS_CA_FILE' : null;
}

/** Whether the service asks who its callers are by REST, and by what MQTT clients send as a password. */
export function isAuthenticated({ API_KEYS_FILE, OIDC_ISSUER }: Settings): boolean {
  return API_KEYS_FILE !== undefined || OIDC_ISSUER !== undefined;
}

/** Whether the service has an MQTT broker of its own. */
export function isMqttOn(settings: Settings): boolean {
  if (settings.MQTT !== undefined) return settings.MQTT === 'on';
  // A cluster's devices have a broker, or are to be let in deliberately.
  const hasAnother = settings.KAFKA_BROKERS !== undefined || settings.MQTT_URL !== undefined;
  return !hasAnother;
}

/** The group in which commands of an MQTT broker are shared; null: this instance takes all of them. */
export function mqttGroupOf(settings: Settings): string | null {
  const { MQTT_SHARED, MQTT_GROUP, EVENTSTORE_CONNECTION_STRING } = settings;
  // What SQLite keeps has one instance.
  const mayBeSeveral = MQTT_GROUP !== undefined || EVENTSTORE_CONNECTION_STRING !== undefined;
  const isShared = MQTT_SHARED === undefined ? mayBeSeveral : MQTT_SHARED === 'on';
  return isShared ? (MQTT_GROUP ?? 'device-state-replica') : null;
}

/** Whether that broker speaks TLS; with MQTT_URL the files are those of the client. */
export function isMqttTls(settings: Settings): boolean {
  return isMqttOn(settings) && settings.MQTT_URL === undefined && settings.MQTT_TLS_CERT_FILE !== undefined;
}

/** Whether it takes client certificates: it lets nobody in then who has neither such a one nor a password that does. */
function takesCertificates(settings: Settings): boolean {
  return isMqttTls(settings) && settings.MQTT_TLS_CA_FILE !== undefined;
}

export function mqttPortOf(settings: Settings): number {
  return settings.MQTT_PORT ?? (isMqttTls(settings) ? 8883 : 1883);
}

const LOOPBACK = /^(127(\.\d{1,3}){3}|::1|localhost)$/i;
const OTHERS = ['KAFKA_BROKERS', 'EVENTSTORE_CONNECTION_STRING', 'DATABASE_URL'] as const;

/**
 * Without authentication the service runs for its own machine alone: embedded, and on the loopback address.
 *
 * @throws {SettingsError} in one line, where others can reach it, unless that is what was asked for
 */
export function requireAuthentication(settings: Settings): void {
  const isAllowed = settings.ALLOW_UNAUTHENTICATED === 'on';
  if (isAuthenticated(settings)) {
    const by = settings.API_KEYS_FILE === undefined ? 'OIDC_ISSUER' : 'API_KEYS_FILE';
    if (isAllowed) throw new SettingsError(`ALLOW_UNAUTHENTICATED=on contradicts ${by}: unset one of them`);
    return;
  }
  const why = reachedBy(settings);
  if (isAllowed || why === undefined) return;
  const needed = why.startsWith('MQTT_')
    ? 'API_KEYS_FILE, OIDC_ISSUER or MQTT_TLS_CA_FILE'
    : 'API_KEYS_FILE or OIDC_ISSUER';
  throw new SettingsError(
    `${needed} is needed with ${why}, or ALLOW_UNAUTHENTICATED=on where whoever reaches the service may do everything`,
  );
}

/** By which setting others than programs of this machine may reach the service; undefined: by none. */
function reachedBy(settings: Settings): string | undefined {
  const { HOST, MQTT_HOST } = settings;
  const other = OTHERS.find((name) => settings[name] !== undefined);
  if (other !== undefined) return other;
  if (!LOOPBACK.test(HOST)) return `HOST=${inOneLine(HOST)}`;
  const isMqttOpen = isMqttOn(settings) && !takesCertificates(settings);
  return isMqttOpen && !LOOPBACK.test(MQTT_HOST) ? `MQTT_HOST=${inOneLine(MQTT_HOST)}` : undefined;
}

/** A value between quotes, whatever is in it, and not too long to be read. */
function inOneLine(value: string): string {
  const visible = value.replace(/[\p{Cc}\u2028\u2029]/gu, '�');
  return `'${visible.length > 100 ? `${visible.slice(0, 100)}…` : visible}'`;
}

const OF_MQTT_URL = [
  'MQTT_USERNAME',
  'MQTT_PASSWORD',
  'MQTT_CLIENT_ID',
  'MQTT_SHARED',
  'MQTT_GROUP',
  'MQTT_SESSION_MS',
] as const;

const OF_MQTT_TLS = [
  'MQTT_TLS_CA_FILE',
  'MQTT_TLS_CERT_FILE',
  'MQTT_TLS_KEY_FILE',
  'MQTT_TLS_CRL_FILE',
] as const;

const OPTIONAL = [
  'API_KEYS_FILE',
  'OIDC_ISSUER',
  'OIDC_AUDIENCE',
  'HTTP_TLS_CERT_FILE',
  'HTTP_TLS_KEY_FILE',
  'DATABASE_URL',
  'EVENTSTORE_CONNECTION_STRING',
  'KAFKA_BROKERS',
  'MQTT',
  'MQTT_PORT',
  'MQTT_URL',
  'MQTT_USERNAME',
  'MQTT_PASSWORD',
  ...OF_MQTT_TLS,
  'MQTT_CLIENT_ID',
  'MQTT_SHARED',
  'MQTT_GROUP',
  'KAFKA_TLS_CA_FILE',
  'KAFKA_TLS_CERT_FILE',
  'KAFKA_TLS_KEY_FILE',
  'KAFKA_SASL_MECHANISM',
  'KAFKA_SASL_USERNAME',
  'KAFKA_SASL_PASSWORD',
];
