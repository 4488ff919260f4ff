import { describe, expect, it } from '@jest/globals';
import {
  type Reading,
  readEnvelopeOnly,
  readUpdate,
  type UpdateRequest,
} from '../../src/application/read-command.js';
import { DEFAULT_LIMITS } from '../../src/replica/limits.js';

const read = (text: string | Uint8Array, limits = DEFAULT_LIMITS): Reading<UpdateRequest> =>
  readUpdate(typeof text === 'string' ? Buffer.from(text) : text, limits);

/** Null: accepted. */
function refusal(text: string | Uint8Array): { code: number; message: string } | null {
  const reading = read(text);
  return reading.ok ? null : reading.refusal;
}

const message = (text: string | Uint8Array): string | null => refusal(text)?.message ?? null;

const reported = (value: string): string => `{"state":{"reported":{"a":${value}}}}`;

describe('An update request', () => {
  it('is read as it is', () => {
    const text =
      '{"state":{"desired":{"a":[1,{"b":"é"}],"n":null},"reported":null},"version":3,"clientToken":"t"}';
    expect(read(text)).toStrictEqual({
      ok: true,
      request: {
        state: { desired: { a: [1, { b: 'é' }], n: null }, reported: null },
        version: 3,
        clientToken: 't',
      },
    });
  });

  it.each(['{"state":null}', '{"state":{}}', '{"state":{"reported":{}}}', ' {\n"state" :\t{ } }\r\n'])(
    'may be %j',
    (text) => {
      expect(message(text)).toBeNull();
    },
  );

  it('may have members that nobody knows, which are ignored', () => {
    expect(read('{"state":{},"other":{"x":[1]}}')).toStrictEqual({ ok: true, request: { state: {} } });
  });

  it('may be a part of a larger buffer', () => {
    const whole = Buffer.from('xx{"state":{}}yy');
    expect(message(whole.subarray(2, -2))).toBeNull();
    expect(message(new Uint8Array(whole.buffer, whole.byteOffset + 2, whole.length - 4))).toBeNull();
  });

  it('may have keys that every object inherits', () => {
    const text = '{"state":{"reported":{"toString":{"valueOf":1},"hasOwnProperty":[],"":0,"7":1}}}';
    expect(read(text)).toStrictEqual({ ok: true, request: JSON.parse(text) as unknown });
  });
});

describe('Invalid JSON', () => {
  it.each([
    '',
    ' ',
    '{',
    '{"state":}',
    '{"state":{}',
    '{"state":{}}x',
    '{state:{}}',
    "{'state':{}}",
    '{"state":{},}',
    '[}',
    '{"state":{"reported":{"a":01}}}',
    '{"state":{"reported":{"a":.5}}}',
    '{"state":{"reported":{"a":1.}}}',
    '{"state":{"reported":{"a":+1}}}',
    '{"state":{"reported":{"a":NaN}}}',
    '{"state":{"reported":{"a":"\\x"}}}',
    '{"state":{"reported":{"a":"\\u12"}}}',
    '{"state":{"reported":{"a":"',
    '{"state":{"reported":{"a":"\\',
    ']]]]',
    '{}{}',
    '{"state":{}}\0',
    '/**/{"state":{}}',
    '"text"',
    '1',
    'null',
    'true',
    '[]',
    '[{"state":{}}]',
  ])('is %j', (text) => {
    expect(refusal(text)).toStrictEqual({ code: 400, message: 'Invalid JSON' });
    expect(readEnvelopeOnly(Buffer.from(text), DEFAULT_LIMITS).ok).toBe(text === '');
  });

  it.each(['\0', '\n', '\t', '\u001f'])('is a string with the raw control character %j', (character) => {
    expect(message(reported(`"${character}"`))).toBe('Invalid JSON');
    expect(message(`{"state":{"reported":{"${character}":1}}}`)).toBe('Invalid JSON');
  });

  it('is text that begins with a byte order mark', () => {
    expect(message('\ufeff{"state":{}}')).toBe('Invalid JSON');
  });
});

describe('Bytes that are not UTF-8', () => {
  it.each([
    ['a stray continuation byte', [0x80]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['an overlong NUL', [0xc0, 0x80]],
    ['an overlong three-byte character', [0xe0, 0x80, 0xaf]],
    ['a surrogate pair in CESU-8', [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]],
    ['a lone surrogate', [0xed, 0xa0, 0x80]],
    ['a truncated character', [0xe2, 0x82]],
    ['a character beyond U+10FFFF', [0xf4, 0x90, 0x80, 0x80]],
    ['Latin-1', [0xe9]],
    ['0xFF', [0xff]],
  ])('are refused: %s', (_what, bytes) => {
    const text = Buffer.concat([
      Buffer.from('{"state":{"reported":{"a":"'),
      Buffer.from(bytes),
      Buffer.from('"}}}'),
    ]);
    expect(refusal(text)).toStrictEqual({ code: 415, message: 'The request is not UTF-8' });
    expect(readEnvelopeOnly(text, DEFAULT_LIMITS)).toMatchObject({ ok: false, refusal: { code: 415 } });
  });

  it('are UTF-16', () => {
    expect(refusal(Buffer.from('\ufeff{"state":{}}', 'utf16le'))?.code).toBe(415);
  });
});

describe('The state of a request', () => {
  it.each([
    ['{}', 'Missing required node: state'],
    ['{"version":1,"State":{}}', 'Missing required node: state'],
    ['{"state":1}', 'State node must be an object'],
    ['{"state":[]}', 'State node must be an object'],
    ['{"state":"x"}', 'State node must be an object'],
    ['{"state":false}', 'State node must be an object'],
    ['{"state":{"desired":1}}', 'Desired node must be an object'],
    ['{"state":{"desired":[]}}', 'Desired node must be an object'],
    ['{"state":{"desired":false}}', 'Desired node must be an object'],
    ['{"state":{"reported":"x"}}', 'Reported node must be an object'],
    ['{"state":{"reported":[{}]}}', 'Reported node must be an object'],
    ['{"state":{"reported":{},"desired":0}}', 'Desired node must be an object'],
    ['{"state":{"x":{}}}', "State contains an invalid node: 'x'"],
    ['{"state":{"desired":{},"delta":{}}}', "State contains an invalid node: 'delta'"],
    ['{"state":{"Reported":null}}', "State contains an invalid node: 'Reported'"],
    ['{"state":{"":null}}', "State contains an invalid node: ''"],
    ['{"state":{"toString":{}}}', "State contains an invalid node: 'toString'"],
  ])('%s is refused', (text, expected) => {
    expect(refusal(text)).toStrictEqual({ code: 400, message: expected });
  });
});

describe('The version of a request', () => {
  it.each(['0', '1', '1.0', '1e2', '-0', '9007199254740991'])('may be %s', (version) => {
    const reading = read(`{"state":{},"version":${version}}`);
    expect(reading).toStrictEqual({ ok: true, request: { state: {}, version: Number(version) } });
  });

  it.each([
    'null',
    '"1"',
    '1.5',
    '-1',
    'true',
    '[]',
    '[1]',
    '{}',
    '1e400',
    '9007199254740992',
    '0.1',
    '-1e-7',
  ])('may not be %s', (version) => {
    const expected = { code: 400, message: 'Invalid version' };
    expect(refusal(`{"state":{},"version":${version}}`)).toStrictEqual(expected);
    const body = Buffer.from(`{"version":${version}}`);
    expect(readEnvelopeOnly(body, DEFAULT_LIMITS)).toStrictEqual({ ok: false, refusal: expected });
  });
});

describe('The clientToken of a request', () => {
  const withToken = (token: string): string => JSON.stringify({ state: {}, clientToken: token });

  it.each(['', 't', 'x'.repeat(64), 'é'.repeat(32), '😀'.repeat(16), `${'€'.repeat(21)}x`, '"\\\n\u0001'])(
    'may be %j',
    (token) => {
      expect(read(withToken(token))).toStrictEqual({ ok: true, request: { state: {}, clientToken: token } });
    },
  );

  it.each(['x'.repeat(65), `${'é'.repeat(32)}x`, `${'😀'.repeat(16)}x`, '€'.repeat(22)])(
    'may not be %j',
    (token) => {
      expect(refusal(withToken(token))).toStrictEqual({ code: 400, message: 'Invalid clientToken' });
    },
  );

  it.each(['null', '1', 'true', '{}', '["t"]'])('may not be %s', (token) => {
    expect(message(`{"state":{},"clientToken":${token}}`)).toBe('Invalid clientToken');
  });

  it('may not hold a NUL or a lone surrogate', () => {
    expect(message('{"state":{},"clientToken":"\\u0000"}')).toContain('NUL character');
    expect(message('{"state":{},"clientToken":"\\ud800"}')).toContain('lone surrogate');
  });

  it('is told with the refusal, wherever it could be read', () => {
    const refused = (rest: string): unknown => read(`{"clientToken":"t",${rest}}`);
    expect(refused('"state":1')).toMatchObject({ ok: false, clientToken: 't' });
    expect(refused('"version":-1')).toMatchObject({ ok: false, clientToken: 't' });
    expect(refused('"state":{"reported":{"a":[null]}}')).toMatchObject({ ok: false, clientToken: 't' });
    expect(refused('"state":{"reported":{"a":1,"a":2}}')).toMatchObject({ ok: false, clientToken: 't' });
    expect(refused('"state":{')).not.toHaveProperty('clientToken');
    expect(read('{"state":1,"clientToken":"\\udc00"}')).not.toHaveProperty('clientToken');
    expect(read('{"state":1,"clientToken":1}')).not.toHaveProperty('clientToken');
  });
});

describe('Sizes', () => {
  const ofBytes = (bytes: number): string => `{"state":{}}${' '.repeat(bytes - 12)}`;

  it('of a request go to 128 KiB', () => {
    expect(refusal(ofBytes(131_072))).toBeNull();
    const expected = { code: 413, message: 'The request is 131073 bytes; maximum is 131072' };
    expect(refusal(ofBytes(131_073))).toStrictEqual(expected);
    expect(readEnvelopeOnly(Buffer.from(ofBytes(131_073)), DEFAULT_LIMITS)).toMatchObject({
      refusal: expected,
    });
  });

  it('of a request count bytes, not characters', () => {
    expect(refusal(`{"state":{},"x":"${'é'.repeat(65_530)}"}`)?.code).toBe(413);
  });

  it('of strings and numbers go as far as that of the largest request', () => {
    const limits = { ...DEFAULT_LIMITS, maxRequestBytes: 900 * 1024 };
    for (const part of ['\\n', '\\u0001', 'x', '"']) {
      const text = JSON.stringify(part.repeat(100_000));
      const both = read(`{"state":{"reported":{"a":${text},"b":0e1,"b":0}}}`, limits);
      expect(both).toMatchObject({ ok: false, refusal: { message: "Duplicate key: 'b'" } });
    }
    expect(read(reported(`0.${'0'.repeat(800_000)}1`), limits)).toMatchObject({
      ok: false,
      refusal: { code: 400 },
    });
  });
});

describe('A request without state (get, delete)', () => {
  const envelope = (text: string | null): unknown =>
    readEnvelopeOnly(text === null ? null : Buffer.from(text), DEFAULT_LIMITS);

  it('may have no body, or an empty one', () => {
    expect(envelope(null)).toStrictEqual({ ok: true, request: {} });
    expect(envelope('')).toStrictEqual({ ok: true, request: {} });
    expect(envelope('{}')).toStrictEqual({ ok: true, request: {} });
  });

  it('may have a version and a clientToken, and members that nobody knows', () => {
    expect(envelope('{"version":2,"clientToken":"t","state":1}')).toStrictEqual({
      ok: true,
      request: { version: 2, clientToken: 't' },
    });
  });

  it.each([
    ['{"clientToken":1}', 'Invalid clientToken'],
    ['{"version":1,"version":1}', "Duplicate key: 'version'"],
    ['{"x":[null]}', "An array cannot hold null: 'x'"],
    ['{"__proto__":1}', "Key is not allowed: '__proto__'"],
  ])('may not be %s', (text, expected) => {
    expect(envelope(text)).toMatchObject({ ok: false, refusal: { code: 400, message: expected } });
  });
});

describe('Of several reasons to refuse', () => {
  it.each([
    ['the size comes first', Buffer.alloc(131_073, 0xff), 'The request is 131073 bytes; maximum is 131072'],
    ['then UTF-8', Buffer.from([0x7b, 0xff]), 'The request is not UTF-8'],
    ['then the depth', Buffer.from('[[[[[[[[[{'), 'JSON contains too many levels of nesting; maximum is 6'],
    ['then the JSON', Buffer.from('{"clientToken":1'), 'Invalid JSON'],
    ['then the clientToken', Buffer.from('{"clientToken":1,"version":-1}'), 'Invalid clientToken'],
    ['then the version', Buffer.from('{"version":-1,"state":1}'), 'Invalid version'],
    ['then the state', Buffer.from('{"state":{"x":1,"x":2}}'), "State contains an invalid node: 'x'"],
    ['then the values', Buffer.from(reported('[null],"a":1,"b":[null]')), "An array cannot hold null: 'b'"],
    ['then duplicates', Buffer.from(reported('0,"a":1e-400')), "Duplicate key: 'a'"],
  ])('%s', (_rule, bytes, expected) => {
    expect(message(bytes)).toBe(expected);
  });
});
