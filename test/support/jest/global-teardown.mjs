/** Silent, since the reporter's closing line has been printed before it runs. */
export default async function globalTeardown() {
  await globalThis.sharedKafka?.stop();
  globalThis.sharedKafka = undefined;
  await globalThis.sharedEventStore?.stop();
  globalThis.sharedEventStore = undefined;
  await globalThis.sharedPostgres?.stop();
  globalThis.sharedPostgres = undefined;
}
