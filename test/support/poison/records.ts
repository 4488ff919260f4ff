import { type IHeaders } from 'kafkajs';
import { type Codec, compressed } from '../bombs.js';
import { type Expected, refused } from './case.js';

/** Records of Kafka with headers that may be bad; the key is a device of its own, and the value an update that is right. */
export interface HeaderCase {
  readonly name: string;
  readonly headers: IHeaders;
  readonly expected: Expected;
}

const INVALID_ID = refused(400, 'Invalid message-id');
const INVALID_CONDITION = refused(400, 'Invalid If-Match');
export const many = (count: number): IHeaders =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`h${index}`, 'x']));

/** @param own the service's own topics, to which nobody may have it reply */
export function headerCases(own: readonly string[]): HeaderCase[] {
  const topics = [
    ...own,
    'nobody.made.this',
    '',
    ' ',
    'a b',
    '../x',
    '.',
    '..',
    'x'.repeat(250),
    'x'.repeat(5000),
    'é',
    'a\0b',
    'a\nb',
    '__consumer_offsets',
    '__transaction_state',
  ];
  const partitions = [
    '-1',
    '-0',
    '1.5',
    '1e3',
    '0x1',
    'NaN',
    '',
    ' ',
    '99',
    '999999',
    '1000000',
    '99999999999999999999',
    '１',
    'null',
    '\0',
  ];
  const reply = (headers: IHeaders): IHeaders => ({ kafka_correlationId: 'c', ...headers });
  const binary = Buffer.from([0xff, 0xfe, 0x00, 0x80]);
  return [
    ...topics.map((topic): HeaderCase => ({
      name: `a reply to ${JSON.stringify(topic.slice(0, 40))}`,
      headers: reply({ kafka_replyTopic: topic }),
      expected: 'accepted',
    })),
    ...partitions.map((partition): HeaderCase => ({
      name: `a reply to the partition ${JSON.stringify(partition)}`,
      headers: reply({ kafka_replyTopic: 'nobody.made.this', kafka_replyPartition: partition }),
      expected: 'accepted',
    })),
    {
      name: 'a reply to bytes',
      headers: reply({ kafka_replyTopic: binary, kafka_replyPartition: binary }),
      expected: 'accepted',
    },
    { name: 'several reply topics', headers: reply({ kafka_replyTopic: [...own] }), expected: 'accepted' },
    { name: 'no correlation', headers: { kafka_replyTopic: own[0] ?? '' }, expected: 'accepted' },
    {
      name: 'bytes for a correlation',
      headers: { kafka_replyTopic: 'nobody.made.this', kafka_correlationId: binary },
      expected: 'accepted',
    },
    ...['', ' ', 'a b', 'x'.repeat(129), 'é', 'a\n', '\0', 'a\r\nb', 'x'.repeat(100_000), binary].map(
      (id): HeaderCase => ({
        name: `the message id ${JSON.stringify(String(id).slice(0, 30))}`,
        headers: { 'message-id': id },
        expected: INVALID_ID,
      }),
    ),
    ...['', '""', 'x', '"1', '-1', '1.0', '1,2', 'W/"1"', '1'.repeat(17), '\0', '** ', binary].map(
      (condition): HeaderCase => ({
        name: `if-match ${JSON.stringify(String(condition))}`,
        headers: { 'if-match': condition },
        expected: INVALID_CONDITION,
      }),
    ),
    {
      name: 'if-match of no state',
      headers: { 'if-match': '*' },
      expected: refused(409, 'Version conflict'),
    },
    {
      name: 'if-match of another version',
      headers: { 'if-match': '"7"' },
      expected: refused(409, 'Version conflict'),
    },
    { name: 'if-match of the first version', headers: { 'if-match': '"0"' }, expected: 'accepted' },
    {
      name: 'message ids, of which the first counts',
      headers: { 'message-id': ['first', 'a b'] },
      expected: 'accepted',
    },
    { name: 'a long traceparent', headers: { traceparent: 'x'.repeat(50_000) }, expected: 'accepted' },
    { name: 'a traceparent of bytes', headers: { traceparent: binary }, expected: 'accepted' },
    {
      name: 'a correlation id with line ends',
      headers: { 'correlation-id': 'a\r\nx-injected: b\0' },
      expected: 'accepted',
    },
    {
      name: 'the headers of outputs',
      headers: {
        ce_id: 'x',
        ce_type: 'y',
        ce_subject: 'z',
        'content-type': 'text/html',
        reason: 'r',
        'source-topic': 't',
      },
      expected: 'accepted',
    },
    {
      name: 'the headers of what cannot be read',
      headers: { 'unreadable-batch': 'x', 'unreadable-record': 'y' },
      expected: 'accepted',
    },
    {
      name: 'names that objects have',
      headers: JSON.parse(
        '{"__proto__":"a","constructor":"b","toString":"c","hasOwnProperty":"d"}',
      ) as IHeaders,
      expected: 'accepted',
    },
    { name: 'an empty name', headers: { '': 'x' }, expected: 'accepted' },
    { name: 'a long name', headers: { ['n'.repeat(60_000)]: 'x' }, expected: 'accepted' },
    { name: 'a long value', headers: { x: 'x'.repeat(500_000) }, expected: 'accepted' },
    { name: 'five thousand headers', headers: many(5000), expected: 'accepted' },
    {
      name: 'five thousand of one name',
      headers: { x: Array.from({ length: 5000 }, () => 'y') },
      expected: 'accepted',
    },
  ];
}

/** For producers of kafkajs, which has gzip alone. */
export const compressor = (codec: Codec) => () => ({
  compress: async ({ buffer }: { buffer: Buffer }): Promise<Buffer> => compressed(codec, buffer),
  decompress: async (): Promise<Buffer> => {
    throw new Error('Nothing is read here');
  },
});
