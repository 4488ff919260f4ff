/** What must become of an update request. */
export type Expected = 'accepted' | { readonly code: number; readonly says: string };

/** An update request that may be bad, and what must become of it on a device that has no state yet. */
export interface PoisonCase {
  readonly name: string;
  readonly bytes: Buffer;
  readonly expected: Expected;
  /** A value that must be read back as it is, where it is accepted. */
  readonly kept?: { readonly path: readonly string[]; readonly value: unknown };
}

export const refused = (code: number, says: string): Expected => ({ code, says });
export const INVALID = refused(400, 'Invalid JSON');
export const NOT_UTF8 = refused(415, 'The request is not UTF-8');

export function poison(name: string, text: string | Buffer, expected: Expected): PoisonCase {
  return { name, bytes: typeof text === 'string' ? Buffer.from(text) : text, expected };
}

/** The places where a value can stand in a request. */
export const PLACES: Readonly<Record<string, (value: string) => string>> = {
  'in reported': (value) => `{"state":{"reported":{"a":${value}}}}`,
  'in desired, among others': (value) => `{"state":{"desired":{"z":1,"a":${value},"b":[]}},"version":0}`,
  'below other objects': (value) => `{"state":{"reported":{"b":{"c":{"a":${value}}}}}}`,
  'in an array': (value) => `{"state":{"reported":{"a":[1,${value}]}}}`,
  'in what is ignored': (value) => `{"a":${value},"state":{}}`,
};

/** One case for each value in each place. */
export function everywhere(
  what: string,
  values: readonly string[],
  expected: Expected,
  places = Object.keys(PLACES),
): PoisonCase[] {
  return values.flatMap((value) =>
    places.map((place) =>
      poison(`${what} ${place}: ${shortened(value)}`, PLACES[place]?.(value) ?? '', expected),
    ),
  );
}

export function shortened(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}… (${text.length})` : text);
}
