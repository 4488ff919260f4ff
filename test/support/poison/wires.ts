/** What no client library would send, byte by byte. */

export interface HttpAttack {
  readonly name: string;
  readonly request: string;
  /** What the whole of the answer looks like. */
  readonly expected: RegExp;
}

const BODY = '{"state":{"reported":{"a":1}}}';
const HOST = 'host: 127.0.0.1\r\n';
const CLOSE = 'connection: close\r\n';
const JSON_BODY = `content-type: application/json\r\ncontent-length: ${BODY.length}\r\n`;
const update = (headers: string): string =>
  `POST /state/wire/update HTTP/1.1\r\n${HOST}${CLOSE}${JSON_BODY}${headers}\r\n${BODY}`;
const get = (path: string, headers = ''): string => `GET ${path} HTTP/1.1\r\n${HOST}${CLOSE}${headers}\r\n`;
const REFUSED = /^HTTP\/1\.1 4\d\d /;
const BAD = /^HTTP\/1\.1 400 /;
/** Refused, or ended, since it was on its way already. */
const ENDED = /^(HTTP\/1\.1 4\d\d |$)/;
/** Either: a proxy's business, and harmless here. */
const ANY = /^HTTP\/1\.1 [24]\d\d /;

export const HTTP_ATTACKS: readonly HttpAttack[] = [
  // Headers that would end theirs, and begin another
  {
    name: 'a header with a bare line feed',
    request: update('correlation-id: a\nx-injected: b\r\n'),
    expected: ANY,
  },
  {
    name: 'a header with a bare carriage return',
    request: update('correlation-id: a\rx-injected: b\r\n'),
    expected: BAD,
  },
  {
    name: 'a header that goes on in the next line',
    request: update('correlation-id: a\r\n x-injected: b\r\n'),
    expected: ANY,
  },
  { name: 'a header with a NUL', request: update('correlation-id: a\0b\r\n'), expected: BAD },
  {
    name: 'an escaped line end',
    request: update('correlation-id: a%0d%0ax-injected: b\r\n'),
    expected: /^HTTP\/1\.1 200 [^]*\r\ncorrelation-id: a%0d%0ax-injected: b\r\n/,
  },
  { name: 'an escaped line end in a path', request: get('/state/a%0d%0ax-injected:%20b'), expected: BAD },
  {
    name: 'an escaped line end in a query',
    request: get('/fleet?prefix=a%0d%0ax-injected:%20b'),
    expected: BAD,
  },
  {
    name: 'an escaped line end in a cursor',
    request: get('/fleet?cursor=%0d%0ax-injected:%20b'),
    expected: BAD,
  },
  { name: 'a header without a name', request: update(': b\r\n'), expected: BAD },
  { name: 'a header with a space in its name', request: update('x y: b\r\n'), expected: BAD },
  { name: 'a space before the colon', request: update('correlation-id : b\r\n'), expected: BAD },
  { name: 'letters in a header', request: update('correlation-id: é😀\r\n'), expected: ANY },
  {
    name: 'a prototype for a header',
    request: update('__proto__: b\r\nconstructor: c\r\n'),
    expected: /^HTTP\/1\.1 200 /,
  },
  { name: 'an idempotency key without text', request: update('idempotency-key: \r\n'), expected: BAD },
  {
    name: 'a long idempotency key',
    request: update(`idempotency-key: ${'x'.repeat(129)}\r\n`),
    expected: BAD,
  },
  { name: 'an idempotency key with a space', request: update('idempotency-key: a b\r\n'), expected: BAD },
  { name: 'an idempotency key of other letters', request: update('idempotency-key: é\r\n'), expected: BAD },
  {
    name: 'two idempotency keys',
    request: update('idempotency-key: a\r\nidempotency-key: b\r\n'),
    expected: BAD,
  },
  ...['""', '"x"', 'W/"1"', '1,2', '"1', '1"', '-1', '1.0', '1e3', ' ', '99999999999999999', '**', "'1'"].map(
    (value) => ({
      name: `If-Match: ${value}`,
      request: update(`if-match: ${value}\r\n`),
      expected: BAD,
    }),
  ),
  {
    name: 'a long If-None-Match',
    request: get('/state/nobody', `if-none-match: ${'"1",'.repeat(3000)}"2"\r\n`),
    expected: /^HTTP\/1\.1 404 /,
  },
  {
    name: 'Last-Event-ID that is none',
    request: get('/state/wire/events', 'last-event-id: ../../x\r\n'),
    expected: BAD,
  },
  {
    name: 'thousands of headers',
    request: update(Array.from({ length: 900 }, (_, i) => `x${i}: 1\r\n`).join('')),
    expected: ANY,
  },
  { name: 'a header of 20 KB', request: update(`x: ${'x'.repeat(20_000)}\r\n`), expected: REFUSED },
  // Two requests where there is one
  {
    name: 'two lengths',
    request: `POST /state/wire/update HTTP/1.1\r\n${HOST}${CLOSE}content-type: application/json\r\ncontent-length: 5\r\ncontent-length: 30\r\n\r\n${BODY}`,
    expected: BAD,
  },
  {
    name: 'a length that is no number',
    request: `POST /state/wire/update HTTP/1.1\r\n${HOST}${CLOSE}content-length: 0x1e\r\n\r\n${BODY}`,
    expected: BAD,
  },
  {
    name: 'a negative length',
    request: `POST /state/wire/update HTTP/1.1\r\n${HOST}${CLOSE}content-length: -1\r\n\r\n`,
    expected: BAD,
  },
  {
    name: 'a length beyond all numbers',
    request: `POST /state/wire/update HTTP/1.1\r\n${HOST}${CLOSE}content-length: 99999999999999999999\r\n\r\n`,
    expected: REFUSED,
  },
  {
    name: 'a length and chunks',
    request: `POST /state/wire/update HTTP/1.1\r\n${HOST}${CLOSE}${JSON_BODY}transfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\n${HOST}\r\n`,
    expected: BAD,
  },
  {
    name: 'chunks and something else',
    request: `POST /state/wire/update HTTP/1.1\r\n${HOST}${CLOSE}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
    expected: REFUSED,
  },
  {
    name: 'chunks in another spelling',
    request: `POST /state/wire/update HTTP/1.1\r\n${HOST}${CLOSE}transfer-encoding: xchunked\r\n\r\n`,
    expected: REFUSED,
  },
  {
    name: 'a chunk without a size',
    request: `POST /state/wire/update HTTP/1.1\r\n${HOST}${CLOSE}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n\r\n`,
    expected: ENDED,
  },
  {
    name: 'a chunk beyond all numbers',
    request: `POST /state/wire/update HTTP/1.1\r\n${HOST}${CLOSE}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n`,
    expected: ENDED,
  },
  // What is hardly HTTP
  { name: 'no host', request: 'GET /state/a HTTP/1.1\r\nconnection: close\r\n\r\n', expected: BAD },
  { name: 'HTTP/0.9', request: 'GET /state/a\r\n\r\n', expected: ANY },
  { name: 'HTTP/3', request: `GET /state/a HTTP/3.0\r\n${HOST}${CLOSE}\r\n`, expected: BAD },
  { name: 'an unknown method', request: `BREW /state/a HTTP/1.1\r\n${HOST}${CLOSE}\r\n`, expected: BAD },
  {
    name: 'a method in small letters',
    request: `get /state/a HTTP/1.1\r\n${HOST}${CLOSE}\r\n`,
    expected: BAD,
  },
  { name: 'spaces in the line', request: `GET  /state/a  HTTP/1.1\r\n${HOST}${CLOSE}\r\n`, expected: ANY },
  { name: 'a NUL in the path', request: get('/state/a\0b'), expected: BAD },
  { name: 'letters in the path', request: get('/state/é'), expected: REFUSED },
  {
    name: 'a TLS greeting',
    request: '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + 'x'.repeat(100),
    expected: BAD,
  },
  {
    name: 'an MQTT greeting',
    request: '\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00\r\n\r\n',
    expected: BAD,
  },
  // Ways around the path
  ...[
    '/state/a/../../metrics',
    '/state/%2e%2e/%2e%2e/metrics',
    '/..;/metrics',
    '/state//a',
    '//state/a',
    '/./state/a',
    '/STATE/a',
    '/state/a/',
    '/state/a%',
    '/state/%c0%ae%c0%ae',
    '/state/a\\..\\b',
    '/docs/../../package.json',
    '/docs/..%2f..%2fpackage.json',
    '/docs/%2e%2e/package.json',
    '/docs/....//package.json',
  ].map((path) => ({ name: `the path ${path}`, request: get(path), expected: REFUSED })),
  { name: 'a whole URL of somebody else', request: get('http://127.0.0.1:1/metrics'), expected: ANY },
  // Queries
  ...[
    'limit=1&limit=2',
    'limit[]=1',
    'limit[a]=1',
    '__proto__[a]=1',
    'constructor[prototype][a]=1',
    'limit=0',
    'limit=-1',
    'limit=1e9',
    'limit=NaN',
    'sort=__proto__',
    'fields=__proto__',
    'filter=__proto__',
    `filter=${'('.repeat(3000)}`,
    `filter=${'not+'.repeat(1000)}a`,
    'filter=reported.a==%27;DROP+TABLE',
    'filter=%00',
    'cursor=e30',
    'cursor=W10',
    'cursor=%00',
    'updatedSince=99999999999999999999',
    'inSync=maybe',
    '%00=1',
    'prefix=%25',
    'prefix=a%27--',
  ].map((query) => ({
    name: `the query ${query.slice(0, 40)}`,
    request: get(`/fleet?${query}`),
    expected: BAD,
  })),
];

export interface MqttAttack {
  readonly name: string;
  readonly bytes: readonly Buffer[];
  /** Whether its connection must be ended; else it may be. */
  readonly isEnded: boolean;
}

const CONNECT = Buffer.from('100c00044d5154540402003c0000', 'hex');
const lengthOf = (length: number): Buffer => {
  const bytes: number[] = [];
  do {
    bytes.push((length % 128) + (length >= 128 ? 128 : 0));
    length = Math.floor(length / 128);
  } while (length > 0);
  return Buffer.from(bytes);
};
const packet = (first: number, ...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([first]), lengthOf(body.length), body]);
};
const text = (value: string | Buffer): Buffer => {
  const bytes = Buffer.from(value as string);
  const size = Buffer.alloc(2);
  size.writeUInt16BE(bytes.length);
  return Buffer.concat([size, bytes]);
};
const number = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
const publish = (topic: string | Buffer, payload: Buffer = Buffer.from(BODY)): Buffer =>
  packet(0x30, text(topic), payload);
const withWill = (topic: string | Buffer, payload: Buffer): Buffer =>
  packet(
    0x10,
    text('MQTT'),
    Buffer.from([4, 0x06, 0, 60]),
    text('willer'),
    text(topic),
    number(payload.length),
    payload,
  );

const of = (name: string, isEnded: boolean, ...bytes: Buffer[]): MqttAttack => ({ name, isEnded, bytes });

export const MQTT_ATTACKS: readonly MqttAttack[] = [
  of('a length without an end', true, Buffer.from([0x10, 0xff, 0xff, 0xff, 0xff, 0xff])),
  of('a length without an end, later', true, CONNECT, Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0x7f])),
  of('a greeting without anything', true, Buffer.from([0x10, 0x00])),
  of('another protocol', true, packet(0x10, text('HTTP'), Buffer.from([4, 2, 0, 60]), text('a'))),
  of('a protocol of the future', true, packet(0x10, text('MQTT'), Buffer.from([99, 2, 0, 60]), text('a'))),
  of(
    'a greeting that ends too soon',
    true,
    packet(0x10, text('MQTT'), Buffer.from([4, 0xc2, 0, 60]), text('a')),
  ),
  of('two greetings', false, CONNECT, CONNECT),
  of('no greeting', false, publish('state/a/update')),
  of('a type that there is not', true, CONNECT, Buffer.from([0x00, 0x00])),
  of('another type that there is not', false, CONNECT, Buffer.from([0xf1, 0x00])),
  of(
    'a quality of service of 3',
    true,
    CONNECT,
    packet(0x36, text('state/a/update'), number(1), Buffer.from(BODY)),
  ),
  of(
    'a topic that is longer than its packet',
    true,
    CONNECT,
    packet(0x30, number(5000), Buffer.from('state')),
  ),
  of('no topic', false, CONNECT, packet(0x30, number(0), Buffer.from(BODY))),
  of('wildcards in a topic', false, CONNECT, publish('state/+/update')),
  of('a wildcard at its end', false, CONNECT, publish('state/#')),
  of(
    'a subscription without flags',
    true,
    CONNECT,
    packet(0x80, number(1), text('state/#'), Buffer.from([0])),
  ),
  of('a subscription to nothing', true, CONNECT, packet(0x82, number(1))),
  of(
    'a subscription with a quality of service of 7',
    true,
    CONNECT,
    packet(0x82, number(1), text('state/a/#'), Buffer.from([7])),
  ),
  of('HTTP', false, Buffer.from('GET / HTTP/1.1\r\nhost: x\r\n\r\n')),
  of('a TLS greeting', true, Buffer.from('16030102000100', 'hex'), Buffer.alloc(600, 1)),
  of('noise', true, Buffer.from(Array.from({ length: 4000 }, (_, i) => (i * 7919 + 13) % 256))),
  of('a NUL in a topic', false, CONNECT, publish('state/a\0/update')),
  of(
    'no UTF-8 in a topic',
    false,
    CONNECT,
    publish(Buffer.from([0x73, 0x74, 0x61, 0x74, 0x65, 0x2f, 0xff, 0xfe])),
  ),
  of('an overlong topic', false, CONNECT, publish(`state/${'a/'.repeat(30_000)}update`)),
  of(
    'an acknowledgement of nothing',
    false,
    CONNECT,
    packet(0x40, number(7)),
    packet(0x50, number(8)),
    packet(0x62, number(9)),
    packet(0x70, number(10)),
  ),
  of(
    'a subscription to what is nobody’s',
    false,
    CONNECT,
    packet(
      0x82,
      number(1),
      text('$SYS/#'),
      Buffer.from([1]),
      text('$share/a/state/#'),
      Buffer.from([1]),
      text('a#'),
      Buffer.from([1]),
    ),
  ),
  of('a will as large as may be', false, withWill('state/willer/update', Buffer.alloc(65_535, '['))),
  of('a will with wildcards', false, withWill('state/+/update', Buffer.from(BODY))),
  of('a will to nowhere', false, withWill('\0', Buffer.from(BODY))),
  of('a greeting byte by byte', false, ...[...CONNECT].map((byte) => Buffer.from([byte]))),
];
