import { Controller, Get, Inject, Req, Res, ServiceUnavailableException } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import {
  HealthCheck,
  HealthCheckService,
  type HealthCheckResult,
  HealthIndicatorService,
} from '@nestjs/terminus';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { type Registry } from 'prom-client';
import { type Bus } from '../../application/ports/bus.js';
import { type EventStore } from '../../application/ports/event-store.js';
import { type ProjectionsControl } from '../../application/projections.js';
import { isStranger } from './gate.js';
import { BUS, MQTT_BROKER, PROJECTIONS, STORE } from './tokens.js';

export const REGISTRY = Symbol('metrics registry');

/** For those who run the service: is it alive, can it work, and what does it do. */
@ApiExcludeController()
@Controller()
export class OpsController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly indicators: HealthIndicatorService,
    @Inject(BUS) private readonly bus: Bus,
    @Inject(STORE) private readonly store: EventStore,
    @Inject(PROJECTIONS) private readonly projections: ProjectionsControl | null,
    @Inject(MQTT_BROKER) private readonly mqttBroker: { health(): string | null } | null,
    @Inject(REGISTRY) private readonly registry: Registry,
  ) {}

  /** 200 while the process answers at all. */
  @Get('health/live')
  live(): { status: string } {
    return { status: 'ok' };
  }

  /**
   * 200 while commands are taken and recorded; 503 with the reason otherwise. Commands do not need the read model, nor
   * all of them an MQTT broker: what is wrong with these is told among the details alone. Where callers authenticate, one
   * that has not is told the status.
   */
  @Get('health/ready')
  @HealthCheck()
  async ready(@Req() request: FastifyRequest): Promise<HealthCheckResult | { status: string }> {
    if (!isStranger(request.raw)) return this.check();
    try {
      return { status: (await this.check()).status };
    } catch (error) {
      if (!(error instanceof ServiceUnavailableException)) throw error;
      throw new ServiceUnavailableException({ status: 'error' });
    }
  }

  private async check(): Promise<HealthCheckResult> {
    const result = await this.health.check([
      () => this.indicate('bus', this.bus.health()),
      async () => this.indicate('eventStore', await this.store.health()),
    ]);
    const asides = {
      readModel: this.projections?.status().problem ?? null,
      mqttBroker: this.mqttBroker?.health() ?? null,
    };
    const details = { ...result.details };
    for (const [name, reason] of Object.entries(asides)) {
      if (reason !== null) details[name] = { status: 'down', reason };
    }
    return { ...result, details };
  }

  @Get('metrics')
  async metrics(@Res() reply: FastifyReply): Promise<void> {
    void reply.header('content-type', this.registry.contentType).send(await this.registry.metrics());
  }

  private indicate<K extends string>(name: K, reason: string | null) {
    const indicator = this.indicators.check(name);
    return reason === null ? indicator.up() : indicator.down({ reason });
  }
}
