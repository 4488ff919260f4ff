import { describe, expect, it } from '@jest/globals';
import { MQTT_CHANNELS, ShadowTopics, Topics } from '../../../src/adapters/mqtt/topics.js';

const topics = new Topics('state');

describe('the topics of MQTT', () => {
  it.each(['update', 'get', 'delete'] as const)('take %s', (channel) => {
    expect(topics.commandOf(`state/a:1/${channel}`)).toEqual({ channel, deviceId: 'a:1' });
  });

  it('take commands of named replicas', () => {
    expect(topics.commandOf('state/a/name/b/update')).toEqual({ channel: 'update', deviceId: 'a/name/b' });
    expect(topics.commandOf('state/name/name/name/get')).toEqual({
      channel: 'get',
      deviceId: 'name/name/name',
    });
    expect(topics.outputTopic('update.delta', 'a/name/b')).toBe('state/a/name/b/update/delta');
    expect(topics.deltaDeviceOf('state/a/name/b/update/delta')).toBe('a/name/b');
    expect(topics.deltaDeviceOf('state/a/name/b/#')).toBe('a/name/b');
  });

  it.each([
    'state/a/name/update',
    'state/a/name/b',
    'state/a/name/b/c/update',
    'state/a/name//update',
    'state/a/name/../update',
    'state/a/nam/b/update',
  ])('take no command at %s', (topic) => {
    expect(topics.commandOf(topic)).toBeNull();
  });

  it.each([
    '',
    'state',
    'state/a',
    'state/a/',
    'state/a/update/',
    'state/a/update/accepted',
    '/state/a/update',
    'other/a/update',
    'State/a/update',
    'state//update',
    'state/../update',
    'state/a b/update',
    `state/${'x'.repeat(129)}/update`,
    'state/a/constructor',
  ])('take no command at %j', (topic) => {
    expect(topics.commandOf(topic)).toBeNull();
  });

  it('tell whether a device is connected, and no named replica', () => {
    expect(topics.presenceTopic('lamp')).toBe('state/lamp/presence');
    expect(topics.presenceDeviceOf('state/lamp/presence')).toBe('lamp');
    for (const topic of [
      'state/a/name/b/presence',
      'other/a/presence',
      'state/a b/presence',
      'state/a/presence/x',
    ])
      expect(topics.presenceDeviceOf(topic)).toBeNull();
    expect(topics.commandOf('state/lamp/presence')).toBeNull();
    expect(topics.mayRespondTo('state/lamp/presence')).toBe(false);
  });

  it('are those of the pattern', () => {
    expect(MQTT_CHANNELS.map((channel) => topics.outputTopic(channel, 'lamp'))).toEqual([
      'state/lamp/update/accepted',
      'state/lamp/update/rejected',
      'state/lamp/update/delta',
      'state/lamp/update/documents',
      'state/lamp/get/accepted',
      'state/lamp/get/rejected',
      'state/lamp/delete/accepted',
      'state/lamp/delete/rejected',
    ]);
  });

  it.each([
    'state/lamp/update/delta',
    'state/lamp/update/+',
    'state/lamp/+/delta',
    'state/lamp/+/+',
    'state/lamp/update/#',
    'state/lamp/update/delta/#',
    'state/lamp/#',
  ])('tell by %s whose delta is asked for', (filter) => {
    expect(topics.deltaDeviceOf(filter)).toBe('lamp');
  });

  it.each([
    '#',
    '+/lamp/update/delta',
    'state/#',
    'state/+/update/delta',
    'state/lamp',
    'state/lamp/update',
    'state/lamp/update/accepted',
    'state/lamp/update/delta/+',
    'state/lamp/+',
    'state/lamp/name/+/update/delta',
    'state/lamp/name/#',
    'other/lamp/update/delta',
    'state/../update/delta',
  ])('tell by %s that no one device’s delta is asked for', (filter) => {
    expect(topics.deltaDeviceOf(filter)).toBeNull();
  });

  it.each(['answers/1', 'state/lamp/answers', 'state', 'other/lamp/update'])(
    'take answers at %s',
    (topic) => {
      expect(topics.mayRespondTo(topic)).toBe(true);
    },
  );

  it.each([
    '',
    'a/+',
    'a/#',
    '$SYS/a',
    'state/lamp/update',
    'state/x y/get',
    'state/lamp/update/delta',
    'state/a/name/b/get',
  ])('take no answers at %j', (topic) => {
    expect(topics.mayRespondTo(topic)).toBe(false);
  });

  it('are asked for by one filter for each kind of command', () => {
    expect(topics.commandFilters()).toEqual([
      'state/+/update',
      'state/+/delete',
      'state/+/get',
      'state/+/name/+/update',
      'state/+/name/+/delete',
      'state/+/name/+/get',
    ]);
    expect(topics.deltaFilters()).toEqual(['state/+/update/delta', 'state/+/name/+/update/delta']);
  });
});

describe('the topics of AWS IoT Device Shadow', () => {
  const shadows = new ShadowTopics();

  it('are asked for by one filter for each kind of command', () => {
    expect(shadows.commandFilters()).toEqual([
      '$aws/things/+/shadow/update',
      '$aws/things/+/shadow/delete',
      '$aws/things/+/shadow/get',
      '$aws/things/+/shadow/name/+/update',
      '$aws/things/+/shadow/name/+/delete',
      '$aws/things/+/shadow/name/+/get',
    ]);
    expect(shadows.deltaFilters()).toEqual([
      '$aws/things/+/shadow/update/delta',
      '$aws/things/+/shadow/name/+/update/delta',
    ]);
  });

  it.each([
    ['$aws/things/lamp/shadow/update', 'update', 'lamp'],
    ['$aws/things/lamp/shadow/get', 'get', 'lamp'],
    ['$aws/things/lamp/shadow/name/config/delete', 'delete', 'lamp/name/config'],
  ])('take %s', (topic, channel, deviceId) => {
    expect(shadows.commandOf(topic)).toEqual({ channel, deviceId });
  });

  it.each([
    'state/lamp/update',
    '$aws/things/lamp/update',
    '$aws/things/lamp/shadow',
    '$aws/things/lamp/shadow/update/accepted',
    '$aws/things/lamp/shadow/name/update',
    '$aws/things//shadow/update',
    '$aws/things/../shadow/update',
    '$aws/things/lamp/shadow/name/a b/update',
    '$aws/things/lamp/shadow/name//update',
    '$aws/other/lamp/shadow/update',
  ])('take no command at %s', (topic) => {
    expect(shadows.commandOf(topic)).toBeNull();
  });

  it('are answered at their own', () => {
    expect(shadows.outputTopic('update.delta', 'lamp')).toBe('$aws/things/lamp/shadow/update/delta');
    expect(shadows.outputTopic('get.rejected', 'lamp/name/config')).toBe(
      '$aws/things/lamp/shadow/name/config/get/rejected',
    );
    expect(shadows.deltaDeviceOf('$aws/things/lamp/shadow/update/delta')).toBe('lamp');
    expect(shadows.deltaDeviceOf('$aws/things/lamp/shadow/#')).toBe('lamp');
    expect(shadows.deltaDeviceOf('$aws/things/lamp/shadow/name/config/update/+')).toBe('lamp/name/config');
    expect(shadows.deltaDeviceOf('$aws/things/+/shadow/update/delta')).toBeNull();
  });
});
