import { execFile, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from '@jest/globals';
import { describeWithOpenssl } from '../support/certificates.js';
import { RestClient, until } from '../support/http.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const pageOf = (name: string): string => readFileSync(join(ROOT, 'docs', name), 'utf8');

/** The shell's commands of a part of a page, block by block. */
function commandsIn(page: string, heading: string): string[] {
  const part = page.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  return [...part.matchAll(/```sh\n([^]*?)```/g)].map(([, commands = '']) => commands);
}

describeWithOpenssl('the certificates of docs/security.md', () => {
  const folder = temporaryFolder();
  const [starting = '', making = '', listing = ''] = commandsIn(pageOf('security.md'), 'Client certificates');
  let service: Service | undefined;
  afterAll(async () => {
    await service?.stop();
    folder.remove();
  });

  function shell(commands: string): void {
    const { status, stderr } = spawnSync('sh', ['-ec', commands], { cwd: folder.path, encoding: 'utf8' });
    expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
  }

  const hasMosquitto = spawnSync('mosquitto_pub', ['--help']).error === undefined;
  const itMosquitto = hasMosquitto || process.env['REQUIRE_MOSQUITTO'] === '1' ? it : it.skip;
  itMosquitto('let in a device by them, until it is taken back (skipped without mosquitto_pub)', async () => {
    shell(making);
    const [empty = '', taking = ''] = listing.split('\n\n');
    shell(empty);
    const files = [...starting.matchAll(/(MQTT_\w+)=(\S+)/g)].map(
      ([, name = '', file = '']) => [name, join(folder.path, file)] as const,
    );
    expect(files).toHaveLength(4);
    service = await startService({ DATA_DIR: join(folder.path, 'data'), ...Object.fromEntries(files) });
    const rest = new RestClient(service.url);
    const line = /^mosquitto_pub -p 8883 .*$/m.exec(pageOf('devices.md'))?.[0] ?? '';
    const port = service.mqtt.split(':')[1] ?? '';
    const publish = (): Promise<string> =>
      new Promise((resolve) => {
        const command = `${line.replace('8883', port)} -h localhost`;
        execFile('sh', ['-c', command], { cwd: folder.path, timeout: 90_000 }, (_, _stdout, stderr) =>
          resolve(stderr),
        );
      });
    expect(await publish()).toBe('');
    expect((await rest.get('/state/lamp-1')).body).toMatchObject({ state: { reported: { power: 'on' } } });
    shell(taking);
    await until('it is refused', async () => /not authori[sz]ed/i.test(await publish()));
  });
});
