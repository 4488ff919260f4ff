/**
 * Loaded before the built service (`node --import`): sends the process a signal when it has come to a point of its work
 * for the nth time. KILL_AT says where, as JSON: `{"point": …, "nth": …, "signal": …}`; the points are below. The
 * service itself knows nothing of it. Threads load it, too.
 */
import process from 'node:process';
import { setImmediate } from 'node:timers';

const { point, nth, signal } = JSON.parse(process.env.KILL_AT ?? '{}');
let left = nth;

/** With SIGKILL nothing follows it; with SIGSTOP what follows does so when the process is continued. */
function arrive() {
  if (--left === 0) process.kill(process.pid, signal);
}

const load = (path) => import(new URL(`../../dist/${path}`, import.meta.url).href);

/** @param counts whether this call is one; default: each is */
function before(prototype, method, counts = () => true) {
  const original = prototype[method];
  prototype[method] = function (...args) {
    if (counts.call(this, ...args)) arrive();
    return original.apply(this, args);
  };
}

function after(prototype, method, counts = () => true) {
  const original = prototype[method];
  prototype[method] = function (...args) {
    const result = original.apply(this, args);
    if (!counts.call(this, ...args)) return result;
    if (!(result instanceof Promise)) {
      arrive();
      return result;
    }
    return result.then((value) => {
      arrive();
      return value;
    });
  };
}

/** All statements of SQLite, of whatever file. */
async function statements() {
  const { default: Database } = await import('better-sqlite3');
  return new Database(':memory:').prepare('SELECT 1').constructor.prototype;
}

/** A statement of this file that begins so. */
function of(file, begins) {
  return function () {
    return this.database.name.endsWith(file) && this.source.trimStart().startsWith(begins);
  };
}

const EVENTS = 'events.db';
const READ_MODEL = 'read-model.db';
const SNAPSHOTS = 'snapshots.db';
const SQLITE = 'adapters/event-store/sqlite';
const KAFKA = 'adapters/bus/kafka';

const batchAppender = async () =>
  (await load('adapters/event-store/eventstoredb/batch-appender.js')).BatchAppender.prototype;
const publisher = async () => (await load(`${KAFKA}/publisher.js`)).Publisher.prototype;
const consumerGroup = async () => (await load(`${KAFKA}/kafkajs-internals.js`)).consumerGroupPrototype;
const readModel = async () =>
  (await load('adapters/read-model/sqlite/sqlite-read-model.js')).SqliteReadModel.prototype;
const hasSome = (messages) => messages.length > 0;

const POINTS = {
  // The event store in SQLite.
  'before an append to SQLite': async () =>
    before((await load(`${SQLITE}/sqlite-event-store.js`)).SqliteEventStore.prototype, 'append'),
  'amid an append to SQLite': async () =>
    after((await load(`${SQLITE}/appender.js`)).SqliteAppender.prototype, 'appendOne'),
  'before an append to SQLite is committed': async () =>
    before(await statements(), 'run', of(EVENTS, 'COMMIT')),
  'after an append to SQLite is committed': async () =>
    after(await statements(), 'run', of(EVENTS, 'COMMIT')),

  // The event store in EventStoreDB.
  'before an append to EventStoreDB': async () => before(await batchAppender(), 'append'),
  'while an append to EventStoreDB is under way': async () => {
    const prototype = await batchAppender();
    const { pump } = prototype;
    prototype.pump = function () {
      pump.call(this);
      if (this.inFlight.size > 0) setImmediate(arrive);
    };
  },
  'when some appends to EventStoreDB are answered': async () =>
    after(await batchAppender(), 'take', function () {
      return this.inFlight.size > 0;
    }),
  'before the answer of an append to EventStoreDB is seen': async () => before(await batchAppender(), 'take'),

  // What follows in Kafka.
  'before the outputs': async () => before(await publisher(), 'publish', hasSome),
  'after half the outputs': async () => {
    const prototype = await publisher();
    const { publish } = prototype;
    prototype.publish = async function (messages) {
      if (messages.length > 1) {
        await publish.call(this, messages.slice(0, Math.ceil(messages.length / 2)));
        arrive();
      }
      return publish.call(this, messages);
    };
  },
  'after the outputs': async () => after(await publisher(), 'publish', hasSome),
  'before the offset is committed': async () => before(await consumerGroup(), 'commitOffsets'),
  'after the offset is committed': async () => after(await consumerGroup(), 'commitOffsets'),
  'when partitions are assigned': async () =>
    before((await load(`${KAFKA}/positions.js`)).Positions.prototype, 'place'),

  // What is beside it.
  'amid a snapshot': async () => after(await statements(), 'run', of(SNAPSHOTS, 'INSERT')),
  "amid a projection's transaction": async () => after(await statements(), 'run', of(READ_MODEL, 'INSERT')),
  'before a projection is committed': async () => before(await statements(), 'run', of(READ_MODEL, 'COMMIT')),
  "before a rebuild's swap": async () => before(await readModel(), 'activate'),
  "after a rebuild's swap": async () => after(await readModel(), 'activate'),
};

if (point !== undefined) {
  if (POINTS[point] === undefined) throw new Error(`KILL_AT: no such point: ${point}`);
  await POINTS[point]();
}
