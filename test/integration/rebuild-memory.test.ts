import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from '@jest/globals';
import { deriveId } from '../../src/application/identity.js';
import { type StreamAppend } from '../../src/application/ports/event-store.js';
import { openEventStore } from '../../src/open-event-store.js';
import { encodeData, encodeMetadata, streamOf } from '../../src/replica/stored.js';

const DEVICES = 2_000;
const EVENTS_EACH = 40;
/** All of them are some 150 MB as text, far more than the heap of the process that folds them. */
const TEXT = 'x'.repeat(1_800);
const HEAP_MIB = 80;

const dataDir = mkdtempSync(join(tmpdir(), 'rebuild-memory-'));
afterAll(() => rmSync(dataDir, { recursive: true }));

describe('A rebuild of the read model', () => {
  it(`folds ${DEVICES * EVENTS_EACH} events in a heap that holds but a part of them`, async () => {
    const store = openEventStore({ kind: 'sqlite', dataDir });
    for (let revision = 0; revision < EVENTS_EACH; revision++) {
      const appends: StreamAppend[] = [];
      for (let device = 0; device < DEVICES; device++) {
        const deviceId = `device-${device}`;
        const timestamp = 1_800_000_000_000 + revision;
        const id = deriveId(`${deviceId}/${revision}`);
        const source = { topic: 'state.update', partition: 0, offset: revision, timestamp, log: 'l' };
        const event = {
          type: 'ReportedStateChanged' as const,
          version: revision + 1,
          timestamp,
          state: { revision, text: TEXT },
        };
        appends.push({
          stream: streamOf(deviceId),
          expectedRevision: revision - 1,
          events: [
            {
              id,
              type: event.type,
              data: encodeData(deviceId, event),
              metadata: encodeMetadata({ commandId: id, fingerprint: '', source }),
            },
          ],
        });
      }
      const results = await store.append(appends);
      expect(results.every(({ kind }) => kind === 'appended')).toBe(true);
    }
    await store.close();

    const child = fileURLToPath(new URL('./rebuild-memory.child.ts', import.meta.url));
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [`--max-old-space-size=${HEAP_MIB}`, '--import', 'tsx', child, dataDir],
      { env: { ...process.env, NODE_OPTIONS: '' } },
    );
    expect(stdout).toBe(String(DEVICES * EVENTS_EACH));
  });
});
