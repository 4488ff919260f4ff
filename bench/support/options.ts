import { parseArgs } from 'node:util';

/**
 * The options of a bench: those with a default, each a positive number, and `--json FILE`.
 *
 * Ends the program with one line where the command line has something else.
 */
export function readOptions<T extends Record<string, number>>(defaults: T): T & { readonly json?: string } {
  const known = Object.fromEntries(Object.keys(defaults).map((name) => [name, { type: 'string' as const }]));
  try {
    const { values } = parseArgs({ options: { ...known, json: { type: 'string' } } });
    const numbers = Object.entries(defaults).map(([name, value]): [string, number] => {
      const given = (values as Record<string, string | undefined>)[name];
      const number = given === undefined ? value : Number(given);
      if (!(number > 0)) throw new Error(`--${name} must be a number above 0`);
      return [name, number];
    });
    const json = values.json === undefined ? {} : { json: String(values.json) };
    return { ...(Object.fromEntries(numbers) as T), ...json };
  } catch (error) {
    console.error((error as Error).message);
    process.exit(2);
  }
}
