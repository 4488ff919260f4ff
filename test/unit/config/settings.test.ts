import { describe, expect, it } from '@jest/globals';
import {
  mqttGroupOf,
  isMqttOn,
  isMqttTls,
  mqttPortOf,
  readSettings,
  requireAuthentication,
  Settings,
  SettingsError,
} from '../../../src/config/settings.js';

/** The message with which this environment is refused. */
function problemOf(environment: Record<string, string>): string {
  try {
    readSettings(environment);
  } catch (error) {
    if (error instanceof SettingsError) return error.message;
    throw error;
  }
  throw new Error('the settings were accepted');
}

const DEFAULTS: Readonly<Record<string, unknown>> = {
  PORT: 3000,
  HOST: '127.0.0.1',
  MAX_REQUESTS_PER_SECOND_COUNT: 0,
  MAX_DEVICE_COMMANDS_PER_SECOND_COUNT: 0,
  MAX_REQUESTS_IN_FLIGHT_COUNT: 1000,
  MAX_IN_FLIGHT_BYTES: 32 * 1024 * 1024,
  MAX_CONNECTION_COUNT: 10_000,
  MAX_CONNECTIONS_PER_ADDRESS_COUNT: 0,
  MAX_FOLLOWERS_PER_CALLER_COUNT: 250,
  ARRIVAL_TIMEOUT_MS: 30_000,
  OIDC_ROLE_CLAIM: 'role',
  OIDC_DEVICES_CLAIM: 'devices',
  OIDC_TIMEOUT_MS: 5000,
  ALLOW_UNAUTHENTICATED: 'off',
  DATA_DIR: './data',
  EVENTSTORE_CONNECTION_STRING: undefined,
  DATABASE_URL: undefined,
  DATABASE_POOL_COUNT: 10,
  DATABASE_READ_TIMEOUT_MS: 10_000,
  AWS_SHADOW_TOPICS: 'off',
  MQTT: undefined,
  MQTT_HOST: '127.0.0.1',
  MQTT_PORT: undefined,
  MAX_MQTT_CONNECTION_COUNT: 10_000,
  MAX_MQTT_CONNECTIONS_PER_CALLER_COUNT: 1000,
  MQTT_URL: undefined,
  MQTT_SHARED: undefined,
  MQTT_GROUP: undefined,
  MQTT_SESSION_MS: 86_400_000,
  TOPIC_PREFIX: 'state',
  KAFKA_BROKERS: undefined,
  KAFKA_CLIENT_ID: 'device-state-replica',
  KAFKA_GROUP_ID: 'device-state-replica',
  KAFKA_PARTITION_COUNT: 12,
  KAFKA_REPLICATION_COUNT: -1,
  KAFKA_TLS: 'off',
  KAFKA_CONNECT_TIMEOUT_MS: 10_000,
  KAFKA_SESSION_TIMEOUT_MS: 30_000,
  PUBLISH_DOCUMENTS: 'off',
  UNCHANGED_UPDATES: 'record',
  MAX_STATE_BYTES: 32 * 1024,
  MAX_REQUEST_BYTES: 128 * 1024,
  MAX_DEPTH_COUNT: 6,
  CACHE_BYTES: 256 * 1024 * 1024,
  SNAPSHOT_EVERY_COUNT: 500,
  PROJECTIONS: 'on',
  PROJECTION_BATCH_COUNT: 2000,
  PROJECTION_DELAY_MS: 100,
  PROJECTION_CACHE_BYTES: 67_108_864,
  BATCH_MAX_COUNT: 2000,
  BATCH_MAX_BYTES: 2 * 1024 * 1024,
  REQUEST_TIMEOUT_MS: 10_000,
  SHUTDOWN_TIMEOUT_MS: 10_000,
  MAX_FOLLOWER_COUNT: 1000,
  FOLLOWER_WAITING_BYTES: 262_144,
  FOLLOWER_STALL_MS: 30_000,
  FOLLOWER_CACHE_BYTES: 67_108_864,
  LOG_LEVEL: 'info',
};

describe('settings', () => {
  it.each(Object.entries(DEFAULTS))('have a default for %s', (name, value) => {
    expect(readSettings({})[name as keyof Settings]).toBe(value);
    expect(readSettings({ [name]: '' })[name as keyof Settings]).toBe(value);
  });

  it('are all tried here', () => {
    expect(Object.keys(new Settings()).filter((name) => !(name in DEFAULTS))).toEqual([]);
  });

  it('take what is given', () => {
    const settings = readSettings({
      PORT: '0',
      HOST: '0.0.0.0',
      DATA_DIR: '/tmp/x',
      TOPIC_PREFIX: 'lab_1-a',
      KAFKA_BROKERS: 'a:9092, b:9093',
      UNCHANGED_UPDATES: 'skip',
      CACHE_BYTES: '0',
      KAFKA_REPLICATION_COUNT: '-1',
      LOG_LEVEL: 'debug',
      PATH: '/usr/bin',
      KAFKA_HOME: '/opt/kafka',
    });
    expect(settings).toMatchObject({
      PORT: 0,
      HOST: '0.0.0.0',
      TOPIC_PREFIX: 'lab_1-a',
      KAFKA_BROKERS: 'a:9092, b:9093',
      UNCHANGED_UPDATES: 'skip',
      CACHE_BYTES: 0,
      LOG_LEVEL: 'debug',
    });
  });

  it.each([
    ['PORT', 'abc', 'whole number from 0 to 65535'],
    ['PORT', '65536', '65535'],
    ['PORT', '-1', '0'],
    ['PORT', '80.5', 'whole'],
    ['PORT', '1e3', 'whole'],
    ['PORT', '0x50', 'whole'],
    ['PORT', 'Infinity', 'whole'],
    ['TOPIC_PREFIX', 'a/b', '[A-Za-z0-9_-]'],
    ['TOPIC_PREFIX', 'x'.repeat(101), '1 to 100'],
    ['TOPIC_PREFIX', 'fleet', 'must be none of fleet, ops, health'],
    ['TOPIC_PREFIX', 'docs-json', 'routes of the service'],
    ['KAFKA_BROKERS', 'nonsense', 'host:port'],
    ['KAFKA_BROKERS', 'a:9092,,b:1', 'host:port'],
    ['KAFKA_BROKERS', 'http://a:9092', 'host:port'],
    ['KAFKA_BROKERS', 'a:', 'host:port'],
    ['KAFKA_PARTITION_COUNT', '0', '1'],
    ['KAFKA_REPLICATION_COUNT', '-2', '-1'],
    ['KAFKA_TLS', 'yes', 'on or off'],
    ['KAFKA_SASL_MECHANISM', 'gssapi', 'plain or scram-sha-256'],
    ['KAFKA_CONNECT_TIMEOUT_MS', '99', '100'],
    ['KAFKA_SESSION_TIMEOUT_MS', '1', '1000'],
    ['PUBLISH_DOCUMENTS', 'true', 'on or off'],
    ['UNCHANGED_UPDATES', 'ignore', 'record or skip'],
    ['MAX_STATE_BYTES', '63', '64'],
    ['MAX_REQUEST_BYTES', '99999999', 'whole number'],
    ['MAX_DEPTH_COUNT', '65', '64'],
    ['CACHE_BYTES', '-1', '0'],
    ['SNAPSHOT_EVERY_COUNT', '-1', '0'],
    ['PROJECTIONS', 'yes', 'off'],
    ['PROJECTION_BATCH_COUNT', '0', '1'],
    ['PROJECTION_DELAY_MS', '-1', '0'],
    ['BATCH_MAX_COUNT', '0', '1'],
    ['BATCH_MAX_BYTES', '1', '1024'],
    ['REQUEST_TIMEOUT_MS', '10s', 'whole'],
    ['SHUTDOWN_TIMEOUT_MS', 'never', 'whole'],
    ['MAX_FOLLOWER_COUNT', '-5', '0'],
    ['LOG_LEVEL', 'loud', 'info or debug'],
    ['EVENTSTORE_CONNECTION_STRING', 'http://u:hidden@x', 'esdb://'],
    ['DATABASE_URL', 'mysql://u:hidden@x', 'postgresql://'],
    ['DATABASE_POOL_COUNT', '0', '1'],
    ['DATABASE_READ_TIMEOUT_MS', '99', '100'],
    ['ALLOW_UNAUTHENTICATED', 'yes', 'on or off'],
    ['MAX_REQUESTS_PER_SECOND_COUNT', '-1', '0'],
    ['MAX_DEVICE_COMMANDS_PER_SECOND_COUNT', '-1', '0'],
    ['MAX_REQUESTS_IN_FLIGHT_COUNT', '0', '1'],
    ['MAX_IN_FLIGHT_BYTES', '1000', '4194304'],
    ['MAX_CONNECTION_COUNT', '0', '1'],
    ['MAX_CONNECTIONS_PER_ADDRESS_COUNT', '-1', '0'],
    ['MAX_FOLLOWERS_PER_CALLER_COUNT', '-1', '0'],
    ['ARRIVAL_TIMEOUT_MS', '99', '100'],
    ['ARRIVAL_TIMEOUT', '99', 'no such setting'],
    ['MAX_CONNECTIONS_COUNT', '99', 'no such setting'],
    ['OIDC_ISSUER', 'http://issuer.example', 'https://'],
    ['OIDC_ISSUER', 'issuer.example', 'https://'],
    ['OIDC_TIMEOUT_MS', '0', '100'],
    ['MQTT', 'yes', 'on or off'],
    ['MQTT_PORT', '65536', '65535'],
    ['MAX_MQTT_CONNECTION_COUNT', '0', '1'],
    ['MQTT_PROT', '1883', 'no such setting'],
  ])('refuse %s=%s in one line that names it', (name, value, reason) => {
    const problem = problemOf({ [name]: value });
    expect(problem.startsWith(name)).toBe(true);
    expect(problem).toContain(reason);
    expect(problem).not.toContain('\n');
  });

  it.each([
    'API_KEY_FILE',
    'OIDC_AUDIENCES',
    'ALLOW_UNAUTHORIZED',
    'ALLOW_UNAUTH',
    'KAFKA_BROKER',
    'DATABASE_POOL',
    'KAFKA_BROKERS_LIST',
    'EVENTSTORE_CONNECTIONSTRING',
    'KAFKA_GROUPID',
    'KAFKA_TLS_CA',
    'HTTP_TLS_CERT',
    'MQTT_TLS_CRL',
    'BATCH_MAX',
    'MAX_STATE_SIZE',
    'UNCHANGED_UPDATE',
    'PUBLISH_DOCUMENT',
  ])('do not overlook the misspelt %s', (name) => {
    expect(problemOf({ [name]: 'x' })).toBe(`${name}: no such setting; see the table in README.md`);
  });

  it('name all that is wrong, in one line', () => {
    const problem = problemOf({
      PORT: 'a\nb',
      UNCHANGED_UPDATES: 'x'.repeat(1000),
      KAFKA_BROKER: 'y',
      LOG_LEVEL: 'loud',
    });
    for (const name of ['PORT', 'UNCHANGED_UPDATES', 'KAFKA_BROKER', 'LOG_LEVEL'])
      expect(problem).toContain(name);
    expect(problem).not.toContain('\n');
    expect(problem.length).toBeLessThan(700);
  });

  it.each([
    [{ KAFKA_SASL_MECHANISM: 'plain' }, ['KAFKA_SASL_USERNAME', 'KAFKA_SASL_PASSWORD']],
    [{ KAFKA_SASL_MECHANISM: 'plain', KAFKA_SASL_USERNAME: 'u' }, ['KAFKA_SASL_PASSWORD']],
    [{ KAFKA_SASL_USERNAME: 'u', KAFKA_SASL_PASSWORD: 'p' }, ['KAFKA_SASL_MECHANISM']],
    [{ KAFKA_TLS: 'on', KAFKA_TLS_CERT_FILE: 'x' }, ['KAFKA_TLS_CERT_FILE and KAFKA_TLS_KEY_FILE']],
    [{ KAFKA_TLS_CA_FILE: 'x' }, ['KAFKA_TLS_CA_FILE needs KAFKA_TLS=on']],
    [{ OIDC_ISSUER: 'https://issuer.example' }, ['OIDC_AUDIENCE is needed with OIDC_ISSUER']],
    [{ OIDC_AUDIENCE: 'replica' }, ['OIDC_AUDIENCE needs OIDC_ISSUER']],
    [
      { MQTT_PASSWORD: 'x', MQTT_SHARED: 'off' },
      ['MQTT_PASSWORD needs MQTT_URL', 'MQTT_SHARED needs MQTT_URL'],
    ],
    [{ MQTT_URL: 'mqtt://host', MQTT_GROUP: 'g', MQTT_SHARED: 'off' }, ['MQTT_GROUP needs MQTT_SHARED=on']],
    [
      { MQTT_URL: 'mqtt://host', MQTT_TLS_CERT_FILE: 'x' },
      [
        'MQTT_TLS_CERT_FILE and MQTT_TLS_KEY_FILE',
        'MQTT_TLS_CERT_FILE needs MQTT_URL to begin with mqtts://',
      ],
    ],
    [{ HTTP_TLS_CERT_FILE: 'x' }, ['HTTP_TLS_CERT_FILE and HTTP_TLS_KEY_FILE go together']],
    [{ HTTP_TLS_KEY_FILE: 'x' }, ['HTTP_TLS_CERT_FILE and HTTP_TLS_KEY_FILE go together']],
    [{ MQTT_TLS_KEY_FILE: 'x' }, ['MQTT_TLS_CERT_FILE and MQTT_TLS_KEY_FILE go together']],
    [{ MQTT_TLS_CA_FILE: 'x' }, ['MQTT_TLS_CA_FILE needs MQTT_TLS_CERT_FILE and MQTT_TLS_KEY_FILE']],
    [
      { MQTT_TLS_CERT_FILE: 'x', MQTT_TLS_KEY_FILE: 'x', MQTT_TLS_CRL_FILE: 'x' },
      ['MQTT_TLS_CRL_FILE needs MQTT_TLS_CA_FILE'],
    ],
    [
      { MQTT: 'off', MQTT_TLS_CERT_FILE: 'x', MQTT_TLS_KEY_FILE: 'x' },
      ['MQTT_TLS_CERT_FILE needs MQTT_URL or MQTT=on', 'MQTT_TLS_KEY_FILE needs MQTT_URL or MQTT=on'],
    ],
    [
      { KAFKA_BROKERS: 'a:9092', MQTT_TLS_CERT_FILE: 'x', MQTT_TLS_KEY_FILE: 'x' },
      ['MQTT_TLS_CERT_FILE needs MQTT_URL or MQTT=on'],
    ],
    [
      { MQTT_URL: 'mqtts://host', MQTT_TLS_CA_FILE: 'x', MQTT_TLS_CRL_FILE: 'x' },
      ['MQTT_TLS_CRL_FILE is for the broker of the service’s own'],
    ],
  ])('refuse %j, which is half of something', (environment, names) => {
    for (const name of names) expect(problemOf(environment)).toContain(name);
  });

  it.each([
    [{}, null],
    [{ KAFKA_BROKERS: 'k:9092' }, null],
    [{ EVENTSTORE_CONNECTION_STRING: 'esdb://e' }, 'device-state-replica'],
    [{ EVENTSTORE_CONNECTION_STRING: 'esdb://e', MQTT_SHARED: 'off' }, null],
    [{ MQTT_GROUP: 'g' }, 'g'],
    [{ MQTT_SHARED: 'on' }, 'device-state-replica'],
  ])('with %j share commands of a broker in the group %j', (environment, group) => {
    expect(mqttGroupOf(readSettings({ MQTT_URL: 'mqtt://host', ...environment }))).toBe(group);
  });

  it('never show a password', () => {
    const EVENTSTORE_CONNECTION_STRING = 'htp://admin:secret@host';
    const DATABASE_URL = 'mysql://admin:secret@host';
    const MQTT_URL = 'http://admin:secret@host';
    const secrets = { KAFKA_SASL_PASSWORD: 'secret', EVENTSTORE_CONNECTION_STRING, DATABASE_URL, MQTT_URL };
    const problem = problemOf({ ...secrets, PORT: 'x' });
    expect(problem).not.toContain('secret');
  });

  it('take whole and proper credentials', () => {
    const settings = readSettings({
      KAFKA_TLS: 'on',
      KAFKA_TLS_CA_FILE: 'ca.pem',
      KAFKA_SASL_MECHANISM: 'scram-sha-512',
      KAFKA_SASL_USERNAME: 'u',
      KAFKA_SASL_PASSWORD: 'p',
    });
    expect(settings).toMatchObject({ KAFKA_SASL_USERNAME: 'u', KAFKA_SASL_PASSWORD: 'p' });
  });

  it.each(['mqtt://h', 'mqtts://h:8883', 'mqtt://u:p%40@[::1]:1884/', 'MQTT://h'])(
    'take the broker %s',
    (url) => {
      expect(readSettings({ MQTT_URL: url })).toMatchObject({ MQTT_URL: url });
    },
  );

  it.each(['h:1883', 'ws://h', 'mqtt://', 'mqtt://h/topic', 'mqtt://h?a=b', 'mqtt://u%zz@h'])(
    'take no broker %s',
    (url) => {
      expect(problemOf({ MQTT_URL: url })).toBe('MQTT_URL must be mqtt:// or mqtts://, host and port');
    },
  );
});

describe('the files of TLS for MQTT', () => {
  const files = { MQTT_TLS_CERT_FILE: 'cert', MQTT_TLS_KEY_FILE: 'key' };

  it.each([
    [{}, false, 1883],
    [files, true, 8883],
    [{ ...files, MQTT_TLS_CA_FILE: 'ca', MQTT_TLS_CRL_FILE: 'crl' }, true, 8883],
    [{ ...files, MQTT_PORT: '1883' }, true, 1883],
    [{ MQTT_PORT: '8883' }, false, 8883],
    [{ ...files, MQTT_PORT: '0' }, true, 0],
    [{ ...files, KAFKA_BROKERS: 'a:9092', MQTT: 'on' }, true, 8883],
    // Those of the client: the broker beside it is in the clear.
    [{ ...files, MQTT_URL: 'mqtts://broker' }, false, 1883],
    [{ ...files, MQTT_URL: 'mqtts://broker', MQTT: 'on' }, false, 1883],
    [{ MQTT_TLS_CA_FILE: 'ca', MQTT_URL: 'mqtts://broker' }, false, 1883],
  ])('say with %j whether the service’s own broker speaks TLS, and where', (environment, isTls, port) => {
    const settings = readSettings(environment);
    expect({ isTls: isMqttTls(settings), port: mqttPortOf(settings) }).toEqual({ isTls, port });
  });
});

describe('a service without authentication', () => {
  const KAFKA_BROKERS = 'a:9092';
  const EVENTSTORE_CONNECTION_STRING = 'esdb://admin:secret@store';
  const DATABASE_URL = 'postgresql://u:secret@db/replica';
  /** Empty: it starts. */
  const complaintOf = (environment: Record<string, string>): string => {
    try {
      requireAuthentication(readSettings(environment));
      return '';
    } catch (error) {
      if (error instanceof SettingsError) return error.message;
      throw error;
    }
  };

  it.each([
    [{}],
    [{ HOST: '127.0.0.1' }],
    [{ HOST: '127.9.9.9' }],
    [{ HOST: '::1' }],
    [{ HOST: 'localhost' }],
    [{ HOST: '0.0.0.0', ALLOW_UNAUTHENTICATED: 'on' }],
    [{ KAFKA_BROKERS, EVENTSTORE_CONNECTION_STRING, DATABASE_URL, ALLOW_UNAUTHENTICATED: 'on' }],
    [{ HOST: '0.0.0.0', KAFKA_BROKERS, API_KEYS_FILE: 'keys' }],
    [{ HOST: '127.0.0.1', ALLOW_UNAUTHENTICATED: 'on' }],
    [{ HOST: '0.0.0.0', OIDC_ISSUER: 'https://issuer.example', OIDC_AUDIENCE: 'replica' }],
    [{ HOST: '0.0.0.0', OIDC_ISSUER: 'http://[::1]:8080/realms/a', OIDC_AUDIENCE: 'replica' }],
    [{ MQTT_HOST: '0.0.0.0', MQTT: 'off' }],
    [{ MQTT_HOST: '0.0.0.0', ALLOW_UNAUTHENTICATED: 'on' }],
    [{ MQTT_HOST: '0.0.0.0', API_KEYS_FILE: 'keys' }],
  ])('starts with %j', (environment) => {
    expect(complaintOf(environment)).toBe('');
  });

  it.each([
    [{ HOST: '0.0.0.0' }, 'HOST'],
    [{ HOST: '::' }, 'HOST'],
    [{ HOST: '10.0.0.1' }, 'HOST'],
    [{ HOST: '127.0.0.1.example.com' }, 'HOST'],
    [{ HOST: 'x127.0.0.1' }, 'HOST'],
    [{ KAFKA_BROKERS }, 'KAFKA_BROKERS'],
    [{ EVENTSTORE_CONNECTION_STRING }, 'EVENTSTORE_CONNECTION_STRING'],
    [{ DATABASE_URL }, 'DATABASE_URL'],
    [{ HOST: '0.0.0.0', API_KEYS_FILE: '' }, 'HOST'],
    [{ MQTT_HOST: '0.0.0.0' }, 'MQTT_HOST'],
    [{ API_KEYS_FILE: 'keys', ALLOW_UNAUTHENTICATED: 'on' }, 'contradicts API_KEYS_FILE'],
    [
      { OIDC_ISSUER: 'https://issuer.example', OIDC_AUDIENCE: 'x', ALLOW_UNAUTHENTICATED: 'on' },
      'contradicts OIDC_ISSUER',
    ],
  ])('does not start with %j, and says why in one line', (environment, why) => {
    const complaint = complaintOf(environment);
    for (const name of ['ALLOW_UNAUTHENTICATED', why]) expect(complaint).toContain(name);
    expect(complaint).not.toContain('\n');
    expect(complaint).not.toContain('secret');
  });

  /** What is set, and by whom MQTT may then be reached without it being asked for by `ALLOW_UNAUTHENTICATED`. */
  describe('of which MQTT alone knows its callers, by certificates,', () => {
    const TLS = { MQTT_TLS_CERT_FILE: 'cert', MQTT_TLS_KEY_FILE: 'key' };
    const CERTIFICATES = { ...TLS, MQTT_TLS_CA_FILE: 'ca' };
    const KEYS = { API_KEYS_FILE: 'keys' };
    const OPEN = { ALLOW_UNAUTHENTICATED: 'on' };
    const CALLERS = {
      none: {},
      tls: TLS,
      certificates: CERTIFICATES,
      keys: KEYS,
      both: { ...CERTIFICATES, ...KEYS },
    };
    const REACHED = {
      nobody: {},
      rest: { HOST: '0.0.0.0' },
      mqtt: { MQTT_HOST: '0.0.0.0' },
      both: { HOST: '0.0.0.0', MQTT_HOST: '0.0.0.0' },
      kafka: { KAFKA_BROKERS, MQTT: 'on', MQTT_HOST: '0.0.0.0' },
      store: { EVENTSTORE_CONNECTION_STRING, MQTT_HOST: '0.0.0.0' },
    };
    /** The variable that is complained of; null: it starts. */
    const COMPLAINTS: Readonly<Record<keyof typeof CALLERS, readonly (string | null)[]>> = {
      none: [null, 'HOST', 'MQTT_HOST', 'HOST', 'KAFKA_BROKERS', 'EVENTSTORE_CONNECTION_STRING'],
      tls: [null, 'HOST', 'MQTT_HOST', 'HOST', 'KAFKA_BROKERS', 'EVENTSTORE_CONNECTION_STRING'],
      certificates: [null, 'HOST', null, 'HOST', 'KAFKA_BROKERS', 'EVENTSTORE_CONNECTION_STRING'],
      keys: [null, null, null, null, null, null],
      both: [null, null, null, null, null, null],
    };
    const cells = Object.entries(COMPLAINTS).flatMap(([callers, complaints]) =>
      Object.keys(REACHED).map((reached, index) => [callers, reached, complaints[index] ?? null] as const),
    );

    it.each(cells)('with %s, reached by %s, complains of %s', (callers, reached, name) => {
      const environment = {
        ...CALLERS[callers as keyof typeof CALLERS],
        ...REACHED[reached as keyof typeof REACHED],
      };
      const complaint = complaintOf(environment);
      if (name === null) expect(complaint).toBe('');
      else expect(complaint).toMatch(new RegExp(`^API_KEYS_FILE.* needed with ${name}(=|, or ALLOW)`));
      expect(complaint.includes('MQTT_TLS_CA_FILE')).toBe(name === 'MQTT_HOST');
      // Who has no keys may say that this is meant, certificates or not; who has some contradicts it.
      const isKnown = callers === 'keys' || callers === 'both';
      expect(complaintOf({ ...environment, ...OPEN }).includes('contradicts')).toBe(isKnown);
      if (!isKnown) expect(complaintOf({ ...environment, ...OPEN })).toBe('');
    });

    it('takes the files of the client of a broker for none of the service’s own', () => {
      const environment = { ...CERTIFICATES, MQTT_URL: 'mqtts://broker', MQTT: 'on', MQTT_HOST: '0.0.0.0' };
      expect(complaintOf(environment)).toContain('MQTT_HOST');
    });
  });

  it('tells callers apart by their addresses', () => {
    expect(complaintOf({ MAX_REQUESTS_PER_SECOND_COUNT: '5' })).toBe('');
  });

  it('has MQTT on by default without Kafka', () => {
    expect(isMqttOn(readSettings({}))).toBe(true);
    expect(isMqttOn(readSettings({ KAFKA_BROKERS }))).toBe(false);
    expect(isMqttOn(readSettings({ KAFKA_BROKERS, MQTT: 'on' }))).toBe(true);
    expect(isMqttOn(readSettings({ API_KEYS_FILE: 'keys' }))).toBe(true);
    expect(complaintOf({ API_KEYS_FILE: 'keys', MQTT: 'on', MQTT_HOST: '0.0.0.0' })).toBe('');
  });
});
