import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type IClientPublishOptions } from 'mqtt';
import { randomFrom } from '../support/histories.js';
import { RestClient, until } from '../support/http.js';
import { readEvents } from '../support/kafka-run.js';
import {
  describeWithMosquitto,
  freePort,
  type Mosquitto,
  startMosquitto,
  untilBrokerIsUsed,
} from '../support/mosquitto.js';
import { MqttPeer } from '../support/mqtt.js';
import { sqliteRunStore } from '../support/run-store.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

const KILLS = Number(process.env['KILL_ROUNDS'] ?? 5);
/** What may be sent from one kill to the next, so that the run is as long on a slow machine. */
const ROUND_COUNT = 200;
/** A bound for what hangs. */
const LIMIT_MS = 10 * 60_000;
/** So many publishes of one device may be on their way, where they need not wait for each other. */
const WORKERS = 3;
const PAUSE_MS = 20;

/** How a device makes known that what it sends again is the same: not at all; by the version; by an id (MQTT 5). */
type Kind = 'plain' | 'versioned' | 'identified';

/** How much may still be sent. */
class Allowance {
  private left = 0;
  private isOver = false;

  refill(): void {
    this.left = ROUND_COUNT;
  }

  end(): void {
    this.isOver = true;
  }

  /** False: no more, for good. */
  async take(): Promise<boolean> {
    while (this.left === 0 && !this.isOver) await pause(PAUSE_MS);
    if (this.isOver) return false;
    this.left--;
    return true;
  }
}

/** A device that reports as long as it may; its client library sends again what was not acknowledged. */
class Reporter {
  /** What was acknowledged, by the clientToken it bore. */
  readonly acknowledged = new Set<string>();
  private sent = 0;
  private work: Promise<unknown> = Promise.resolve();

  constructor(
    readonly id: string,
    private readonly kind: Kind,
    private readonly peer: MqttPeer,
    private readonly allowance: Allowance,
    private readonly random: () => number,
  ) {}

  begin(): void {
    // A version can only be named by who waits for the one before.
    const count = this.kind === 'versioned' ? 1 : WORKERS;
    this.work = Promise.all(Array.from({ length: count }, () => this.report()));
  }

  /** Resolves when it may send no more, and all is acknowledged. */
  async end(): Promise<void> {
    await this.work;
    await this.peer.send(`state/${this.id}/update`, { state: { reported: { last: true } } });
    await this.peer.leave();
  }

  private async report(): Promise<void> {
    while (await this.allowance.take()) {
      const n = this.sent++;
      const clientToken = `${this.id}#${n}`;
      const version = this.kind === 'versioned' ? { version: n } : {};
      const text = JSON.stringify({ state: { reported: { n } }, ...version, clientToken });
      const isIdentified = this.kind === 'identified';
      const options: IClientPublishOptions = {
        qos: 1,
        ...(isIdentified ? { properties: { userProperties: { 'message-id': clientToken } } } : {}),
      };
      // A device that forgot that it had sent it.
      const times = isIdentified && this.random() < 0.3 ? 2 : 1;
      for (let time = 0; time < times; time++)
        await this.peer.client.publishAsync(`state/${this.id}/update`, text, options);
      this.acknowledged.add(clientToken);
      await pause(PAUSE_MS);
    }
  }
}

function survivesKills(isWithMosquitto: boolean, kinds: readonly Kind[]): void {
  const folder = temporaryFolder();
  let mosquitto: Mosquitto | null = null;
  let port: number;
  let service: Service;

  const start = async (): Promise<void> => {
    service = await startService({
      DATA_DIR: folder.path,
      ...(mosquitto === null ? { MQTT: 'on', MQTT_PORT: String(port) } : { MQTT_URL: mosquitto.url }),
    });
    if (mosquitto !== null) await untilBrokerIsUsed(service);
  };

  beforeAll(async () => {
    const unbounded = ['allow_anonymous true', 'max_queued_messages 0', 'max_inflight_messages 100'];
    mosquitto = isWithMosquitto ? await startMosquitto(() => unbounded) : null;
    port = await freePort();
    await start();
  });
  afterAll(async () => {
    await service.kill();
    await mosquitto?.remove();
    folder.remove();
  });

  it(
    `in ${KILLS} kills loses nothing that was acknowledged, and does nothing twice that can be known again`,
    async () => {
      const seed = Number(process.env['KILL_SEED'] ?? Date.now() % 2 ** 31);
      console.log(`KILL_SEED=${seed}`);
      const random = randomFrom(seed);
      const address = mosquitto?.address ?? `127.0.0.1:${port}`;
      const allowance = new Allowance();
      const reporters: Reporter[] = [];
      for (const kind of kinds) {
        for (let n = 0; n < 4; n++) {
          const id = `${kind}-${n}`;
          const peer = await MqttPeer.connect(address, {
            clientId: id,
            reconnectPeriod: 50,
            protocolVersion: kind === 'identified' ? 5 : 4,
          });
          reporters.push(new Reporter(id, kind, peer, allowance, random));
        }
      }
      for (const reporter of reporters) reporter.begin();
      const acknowledged = (): number => reporters.reduce((sum, one) => sum + one.acknowledged.size, 0);

      for (let kill = 0; kill < KILLS; kill++) {
        allowance.refill();
        const enough = acknowledged() + ROUND_COUNT * (0.1 + 0.5 * random());
        await until('enough is acknowledged', () => acknowledged() >= enough);
        await service.kill();
        await start();
      }
      allowance.end();
      await Promise.all(reporters.map((one) => one.end()));
      // What Mosquitto has acknowledged is on its way to the service, the last of each device behind all others.
      for (const { id } of reporters) {
        await until(`the last of ${id}`, async () =>
          (await new RestClient(service.url).get(`/state/${id}`)).text.includes('"last":true'),
        );
      }
      await service.stop();

      const store = await sqliteRunStore(folder.path);
      const times = new Map<string, number>();
      for (const { token } of await readEvents(store.open()))
        if (token !== undefined) times.set(token, (times.get(token) ?? 0) + 1);
      const all = reporters.flatMap((one) => [...one.acknowledged]);
      expect(all.filter((token) => !times.has(token))).toEqual([]);
      const twice = [...times].filter(([, count]) => count > 1).map(([token]) => token);
      console.log(`${all.length} publishes were acknowledged; recorded twice: ${twice.length}`);
      expect(twice.filter((token) => !token.startsWith('plain'))).toEqual([]);
      // What was recorded and is not acknowledged there cannot be: each was sent until it was.
      expect(times.size).toBe(all.length);
    },
    LIMIT_MS,
  );
}

describe('a service with its own MQTT broker', () => survivesKills(false, ['plain', 'versioned']));
describeWithMosquitto('a service that is a client of Mosquitto', () =>
  survivesKills(true, ['plain', 'versioned', 'identified']),
);
