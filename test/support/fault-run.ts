import { setTimeout as sleep } from 'node:timers/promises';
import { RestClient } from './http.js';
import { type PreparedCommand, prepareCommands, produceAll, until } from './kafka-run.js';
import { type KillRun, LIMIT_MS } from './kill-run.js';
import { type Acknowledged } from './promise-checker.js';
import { sampleOf, type ServiceSample } from './service-sample.js';

const DEVICES = 200;
const SAMPLE_MS = 500;
const REST_PAUSE_MS = 50;
/** REST is answered, at the latest with 504, in the time that the service is given for it. */
export const REQUEST_TIMEOUT_MS = 3_000;

export interface Fault {
  readonly begin: () => void | Promise<void>;
  /** How long it lasts. */
  readonly lastsMs: number;
  /** Ends it. */
  readonly end: () => void | Promise<void>;
  /** Called over and over meanwhile. Default: nothing is done. */
  readonly again?: () => void;
  readonly againMs?: number;
  /** Commands that come before it, and as many while it lasts. Default 600. */
  readonly portion?: number;
  readonly paddingBytes?: number;
}

/** How the service bore a fault. */
export interface Suffered {
  /** While it lasted. */
  readonly samples: readonly ServiceSample[];
  /** Accepted commands while it lasted. */
  readonly acceptedCount: number;
  /** From its end until all was done, the service ready, and an update by REST accepted. */
  readonly recoveryMs: number;
}

/** A service under load, by Kafka and by REST, whose surroundings fail. It is never started again. */
export class FaultRun {
  readonly sent: PreparedCommand[] = [];
  /** What callers of REST were told was accepted. */
  readonly acknowledged: Acknowledged[] = [];
  private restCount = 0;
  private readonly fromRest: PreparedCommand[] = [];

  constructor(readonly run: KillRun) {}

  private get rest(): RestClient {
    return new RestClient(this.run.service.url, this.run.prefix);
  }

  sample(): Promise<ServiceSample> {
    return sampleOf(this.rest);
  }

  /** Sends more commands past the service's own network, as other programs do. */
  async produce(count: number, paddingBytes = 0): Promise<void> {
    const commands = prepareCommands({ count, devices: DEVICES, from: this.sent.length, paddingBytes });
    this.sent.push(...commands);
    await produceAll(this.run.kafka, this.run.topic, commands);
  }

  /** One update by REST; true: it was accepted. What it was told is held against the outcome in the end. */
  async update(): Promise<boolean> {
    const n = this.restCount++;
    const [token, deviceId, state] = [`rest-${n}`, `rest-device-${n % 10}`, { reported: { n } }];
    const answer = await this.rest.update(deviceId, { state, clientToken: token });
    const isAccepted = answer.status === 200;
    if (isAccepted) this.acknowledged.push({ token, version: Number(answer.body['version']) });
    else if (![503, 504].includes(answer.status))
      throw new Error(`REST answered ${answer.status}: ${answer.text}`);
    this.fromRest.push({
      token,
      deviceId,
      expected: 'accepted',
      state,
      value: '',
      // Without an answer it may have been sent, or not.
      ...(isAccepted ? {} : { mayBeLost: true }),
    });
    return isAccepted;
  }

  async suffer(fault: Fault): Promise<Suffered> {
    const { portion = 600, paddingBytes = 0 } = fault;
    await this.produce(portion, paddingBytes);
    const before = await this.run.acceptedCount();
    await fault.begin();
    const again = fault.again === undefined ? undefined : setInterval(fault.again, fault.againMs ?? 250);
    const isOver = new AbortController();
    const updating = this.updateUntil(isOver.signal);
    // It is awaited further down.
    updating.catch(() => undefined);
    const samples: ServiceSample[] = [];
    try {
      const producing = this.produceSlowly(portion, paddingBytes, fault.lastsMs);
      for (const end = Date.now() + fault.lastsMs; Date.now() < end; await sleep(SAMPLE_MS)) {
        samples.push(await this.sample());
      }
      await producing;
    } finally {
      clearInterval(again);
      isOver.abort();
    }
    const acceptedCount = (await this.run.acceptedCount()) - before;
    await fault.end();
    const start = Date.now();
    await updating;
    await this.recovered();
    return { samples, acceptedCount, recoveryMs: Date.now() - start };
  }

  /** Resolves when it has recovered, by itself and completely. */
  async recovered(): Promise<void> {
    await until('all is done', LIMIT_MS, async () => (await this.run.lag()) === 0);
    await until('it is ready', LIMIT_MS, async () => (await this.sample()).ready === 200);
    await until('an update by REST is accepted', LIMIT_MS, () => this.update());
  }

  /** Stops the service; all that it was sent, said and recorded is held against the promises. */
  async brokenPromises(): Promise<string[]> {
    return this.run.brokenPromises([...this.sent, ...this.fromRest], this.acknowledged);
  }

  private async produceSlowly(count: number, paddingBytes: number, milliseconds: number): Promise<void> {
    const parts = 4;
    for (let part = 0; part < parts; part++) {
      await this.produce(Math.ceil(count / parts), paddingBytes);
      await sleep(milliseconds / (2 * parts));
    }
  }

  private async updateUntil(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.update();
      await sleep(REST_PAUSE_MS);
    }
  }
}
