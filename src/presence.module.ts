import { randomUUID } from 'node:crypto';
import { Inject, Injectable, type OnApplicationBootstrap, type Provider } from '@nestjs/common';
import { PRESENCE } from './adapters/http/tokens.js';
import { type Clock } from './application/ports/clock.js';
import { PresenceRecorder } from './application/presence-recorder.js';
import { type Settings } from './config/settings.js';
import { instanceIdIn } from './instance-id.js';
import { type Metrics } from './observability/metrics.js';
import { READ_SIDE } from './read-side.module.js';
import { type ReadSide } from './read-side/read-side.js';

/** Also where no device can connect here: what others left connected that are dead is to be ended by somebody. */
@Injectable()
class PresenceRunner implements OnApplicationBootstrap {
  constructor(@Inject(PRESENCE) private readonly presence: PresenceRecorder | null) {}

  async onApplicationBootstrap(): Promise<void> {
    await this.presence?.start();
  }
}

/** Who writes down which devices are connected: a part of the composition root. It is stopped before the read side is. */
export function presenceProviders(settings: Settings, metrics: Metrics, clock: Clock): Provider[] {
  return [
    {
      provide: PRESENCE,
      inject: [READ_SIDE],
      useFactory: (readSide: ReadSide | null): PresenceRecorder | null =>
        readSide === null
          ? null
          : new PresenceRecorder(
              {
                store: readSide.presence,
                clock,
                onRetry: (error, delayMs) => metrics.retrying('presence', error, delayMs),
              },
              { instance: instanceOf(settings) },
            ),
    },
    PresenceRunner,
  ];
}

/** SQLite has one instance. Of several, one that cannot be known again is taken for dead after a restart, a minute later. */
function instanceOf({ DATABASE_URL, DATA_DIR }: Settings): string {
  if (DATABASE_URL === undefined) return 'sole';
  try {
    return instanceIdIn(DATA_DIR);
  } catch {
    return randomUUID();
  }
}
