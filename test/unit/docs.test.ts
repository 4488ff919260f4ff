import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { getMetadataStorage } from 'class-validator';
import { pino } from 'pino';
import { type Action, type Reach, ROLES, RULES } from '../../src/application/access/rules.js';
import { LIMITS } from '../../src/application/ports/limit-observer.js';
import { COMMAND_CHANNELS, OUTPUT_CHANNELS } from '../../src/application/ports/bus.js';
import { Replicas } from '../../src/application/replicas.js';
import { MemoryEventStore } from '../../src/adapters/event-store/memory/memory-event-store.js';
import { DOCS_NEED, type Need, NEEDS } from '../../src/adapters/http/access.js';
import { Settings } from '../../src/config/settings.js';
import { Metrics } from '../../src/observability/metrics.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** The rows below the table header that begins with these columns; cells without their code marks. */
function tableOf(markdown: string, ...columns: string[]): string[][] {
  const lines = markdown.split('\n');
  const header = lines.findIndex((line) => line.startsWith(`| ${columns.join(' | ')} |`));
  if (header === -1) throw new Error(`No table with the columns ${columns.join(', ')}`);
  const end = lines.findIndex((line, index) => index > header && !line.startsWith('|'));
  return lines.slice(header + 2, end).map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim().replaceAll('`', '')),
  );
}

interface Setting {
  readonly default: string;
  readonly allowed: string | null;
}

/** What the class itself says of each variable; null: not a rule that a table could repeat word for word. */
function settingsOfClass(): Map<string, Setting> {
  const defaults = new Settings() as unknown as Record<string, unknown>;
  const rules = getMetadataStorage().getTargetValidationMetadatas(Settings, '', false, false);
  const bounds = new Map<string, { min?: number; max?: number; words?: string[] }>();
  for (const { propertyName, name, constraints = [] as unknown[] } of rules) {
    const known = bounds.get(propertyName) ?? {};
    bounds.set(propertyName, known);
    const [first] = constraints as unknown[];
    if (name === 'min') known.min = first as number;
    if (name === 'max') known.max = first as number;
    if (name === 'isIn') known.words = first as string[];
  }
  return new Map(
    [...bounds].map(([name, { min, max, words }]) => {
      const value = defaults[name];
      const shown = typeof value === 'string' || typeof value === 'number' ? String(value) : '–';
      const range = min === undefined ? null : `${min}…${max}`;
      return [name, { default: shown, allowed: words === undefined ? range : words.join(', ') }];
    }),
  );
}

describe('the configuration table of README.md', () => {
  const rows = tableOf(read('README.md'), 'Variable', 'Unit', 'Default', 'Allowed');
  const settings = settingsOfClass();

  it('has every variable, and no other', () => {
    const names = rows.map(([name]) => name);
    expect([...names].sort()).toEqual([...settings.keys()].sort());
    expect(new Set(names).size).toBe(names.length);
    // Those that have a default are seen without the validator, too.
    expect(names).toEqual(expect.arrayContaining(Object.keys(new Settings())));
  });

  it('has the defaults and the allowed values that the service has', () => {
    for (const [name = '', unit, value, allowed, meaning = ''] of rows) {
      const setting = settings.get(name);
      expect({ name, default: value }).toEqual({ name, default: setting?.default });
      if (setting?.allowed) expect({ name, allowed }).toEqual({ name, allowed: setting.allowed });
      if (name.endsWith('_MS')) expect({ name, unit }).toEqual({ name, unit: 'ms' });
      if (name.endsWith('_BYTES')) expect({ name, unit }).toEqual({ name, unit: 'bytes' });
      expect(meaning).toMatch(/\.$/);
    }
  });
});

describe('the metrics table of docs/operations.md', () => {
  it('has every metric with its type and labels, and no other', async () => {
    const metrics = new Metrics(pino({ level: 'silent' }));
    metrics.watch(new Replicas(new MemoryEventStore(), metrics, 0));
    const described = tableOf(read('docs/operations.md'), 'Metric', 'Type', 'Labels').map(
      ([name, type, labels]) => ({ name, type, labels }),
    );
    const all = await metrics.registry.getMetricsAsJSON();
    const real = all
      .filter(({ name }) => !/^(process|nodejs)_/.test(name))
      .map(({ name }) => {
        const metric = metrics.registry.getSingleMetric(name) as unknown as {
          labelNames: string[];
          constructor: { name: string };
        };
        const labels = metric.labelNames.length === 0 ? '–' : metric.labelNames.join(', ');
        return { name, type: metric.constructor.name.toLowerCase(), labels };
      });
    const byName = (a: { name?: string }, b: { name?: string }): number =>
      String(a.name).localeCompare(String(b.name));
    expect(described.sort(byName)).toEqual(real.sort(byName));
  });
});

describe('the tables of topics', () => {
  const topics = [...COMMAND_CHANNELS, ...OUTPUT_CHANNELS, 'replies'].map((channel) => `state.${channel}`);

  it.each(['README.md', 'docs/operations.md'])('%s names every topic, and no other', (page) => {
    const rows =
      page === 'README.md'
        ? tableOf(read(page), 'Logical address', 'Kafka topic')
        : tableOf(read(page), 'Topic', 'Cleanup');
    const column = page === 'README.md' ? 1 : 0;
    const named = rows.flatMap((row) => row[column]?.match(/state\.[a-z.-]*[a-z]/g) ?? []);
    expect([...new Set(named)].sort()).toEqual([...topics].sort());
  });
});

describe('the table of docs/security.md', () => {
  const LIST_SHADOWS = 'GET /api/things/shadow/ListNamedShadowsForThing/{thing}';
  /** What a reach means in a question of this kind. */
  const word = (need: Need, reach: Reach): string => {
    if (need.of === 'everybody') return 'yes';
    if (reach === 'none') return '–';
    if (need.of === 'service') return 'yes';
    if (reach === 'all') return 'all';
    return { device: 'own', update: 'own', listed: 'own', prefix: 'own, by prefix', fleet: 'with *' }[
      need.of
    ];
  };
  /** An address that does several things by what is sent has a row for each. */
  const actionsOf = (need: Need): readonly (Action | '–')[] => {
    switch (need.of) {
      case 'everybody':
        return ['–'];
      case 'update':
        return ['report', 'desire'];
      case 'device':
        return need.action === 'read' ? ['read', 'history'] : [need.action];
      default:
        return [need.action];
    }
  };

  it('has every address with what each role may do there, and no other', () => {
    const rows = tableOf(read('docs/security.md'), 'Address', 'Action', ...ROLES).map((row) =>
      row.map((cell) => cell.replaceAll('\\', '')),
    );
    const rules = Object.entries({ ...NEEDS, 'GET /docs': DOCS_NEED }).flatMap(([address, need]) =>
      actionsOf(need).map((action) => [
        address.replace(':deviceId', '{id}').replace(':thing', '{thing}'),
        action,
        ...ROLES.map((role) => word(need, action === '–' ? 'all' : RULES[role][action])),
      ]),
    );
    const byText = (a: readonly string[], b: readonly string[]): number => a.join().localeCompare(b.join());
    // Of the addresses that read, these know no past.
    const present = [
      'GET /state/{id}/delta',
      'GET /state/{id}/presence',
      'GET /things/{thing}/shadow',
      LIST_SHADOWS,
    ];
    const real = rules.filter(
      ([address, action]) => action !== 'history' || !present.includes(String(address)),
    );
    expect(rows.sort(byText)).toEqual(real.sort(byText));
  });
});

describe('the table of limits in docs/security.md', () => {
  const rows = tableOf(read('docs/security.md'), 'What', 'Default', 'Setting', 'What the caller sees');

  it('has every limit as it is counted, and no other', () => {
    const counted = rows.map((row) => row[4] ?? '').filter((name) => name !== '–');
    expect([...new Set(counted)].sort()).toEqual([...LIMITS].sort());
  });

  it('names settings that exist', () => {
    const names = rows.map((row) => row[2] ?? '').filter((name) => name !== '–');
    expect([...settingsOfClass().keys()]).toEqual(expect.arrayContaining(names));
  });
});

describe.each([
  ['docker-compose.yml', 'KAFKA_BROKERS'],
  ['docker-compose.cluster.yml', 'KAFKA_BROKERS'],
  ['docker-compose.mqtt.yml', 'MQTT_URL'],
])('%s', (file, needed) => {
  const service = /\n {2}device-state-replica:\n([^]*?)(?=\n\S|\n {2}\S|$)/.exec(read(file))?.[1] ?? '';
  const environment = /\n {4}environment:\n([^]*?)(?=\n {4}\S)/.exec(service)?.[1] ?? '';

  it('sets only variables that exist', () => {
    const names = [...environment.matchAll(/^ {6}([A-Z_]+):/gm)].map(([, name]) => name);
    expect(names).toContain(needed);
    expect([...settingsOfClass().keys()]).toEqual(expect.arrayContaining(names));
  });

  it('publishes ports on the loopback address only', () => {
    const ports = [...read(file).matchAll(/^ {4}ports:\n((?: {6}- .*\n)+)/gm)].flatMap(([, list = '']) =>
      list.trim().split(/\n\s*/),
    );
    expect(ports.length).toBeGreaterThan(0);
    for (const port of ports) expect(port).toMatch(/^- '127\.0\.0\.1:/);
  });
});

describe('the Dockerfile', () => {
  it('starts the service as npm start does', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const command = /^CMD (\[.*\])$/m.exec(read('Dockerfile'))?.[1] ?? '[]';
    expect((JSON.parse(command) as string[]).join(' ')).toBe(scripts['start']);
  });
});

describe('every page', () => {
  const pages = [
    'README.md',
    'CHANGELOG.md',
    ...readdirSync(join(ROOT, 'docs'), { recursive: true })
      .map(String)
      .filter((name) => name.endsWith('.md'))
      .map((name) => join('docs', name)),
  ];
  /** As GitHub makes an anchor of a heading. */
  const anchors = (markdown: string): string[] =>
    [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    );

  it.each(pages)('%s has links that lead somewhere', (page) => {
    const targets = [...read(page).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)].map(([, target = '']) => target);
    for (const target of targets) {
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? join(ROOT, page) : resolve(ROOT, dirname(page), path);
      expect({ target, exists: existsSync(file) }).toEqual({ target, exists: true });
      if (anchor !== undefined) expect(anchors(readFileSync(file, 'utf8'))).toContain(anchor);
    }
  });

  it('is reached from README.md', () => {
    const seen = new Set<string>();
    const open = ['README.md'];
    for (let page = open.pop(); page !== undefined; page = open.pop()) {
      if (seen.has(page)) continue;
      seen.add(page);
      for (const [, path = ''] of read(page).matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)) {
        const target = relative(ROOT, resolve(ROOT, dirname(page), path));
        if (target.endsWith('.md')) open.push(target);
        else if (existsSync(join(ROOT, target, 'README.md'))) open.push(join(target, 'README.md'));
      }
    }
    expect(pages.filter((page) => !seen.has(page))).toEqual([]);
  });
});

describe('the table of the OWASP API Security Top 10', () => {
  it('has each risk once, with tests that exist', () => {
    const rows = tableOf(read('docs/security.md'), 'Risk', 'What is done', 'Test');
    expect(rows.map(([risk = '']) => risk.split(' ')[0])).toEqual(
      Array.from({ length: 10 }, (_, index) => `API${index + 1}`),
    );
    for (const [risk = '', , cell = ''] of rows) {
      const tests = cell.match(/test\/\S+\.test\.ts/g) ?? [];
      const missing = tests.filter((path) => !existsSync(join(ROOT, path)));
      expect({ risk, some: tests.length > 0, missing }).toEqual({ risk, some: true, missing: [] });
    }
  });
});

describe('docs/guarantees.md', () => {
  it('names tests that exist, at least one for each promise', () => {
    const promises = read('docs/guarantees.md').split('\n## ')[1]?.split('\n### ').slice(1) ?? [];
    expect(promises.length).toBeGreaterThan(8);
    promises.forEach((promise, index) => {
      expect(promise).toMatch(new RegExp(`^${index + 1}\\. `));
      const tests = [...promise.matchAll(/`(test\/[^`]+)`/g)].map(([, path = '']) => path);
      expect(tests.length).toBeGreaterThan(0);
      expect(tests.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
    });
  });
});
