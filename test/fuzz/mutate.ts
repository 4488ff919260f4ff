/** Numbers below a bound, the same ones for a seed. */
export type Random = (below: number) => number;

/** Mulberry32. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

// prettier-ignore
const WORDS = [
  '{', '}', '[', ']', ',', ':', '"', '\\', '\\u', '\\u0000', '\\ud83d', '\\ude00', '\\"', '\\\\', '\0', '\n', ' ', '-', '0', '1', '9', '.', 'e', 'E', '+', '1e400', '1e-400', '0.0',
  '9007199254740992', '9007199254740991', 'null', 'true', 'false', '{}', '[]', '""', '"a":1', '"a":1,"a":2', '"state":', '"reported":', '"desired":', '"version":', '"clientToken":', '"__proto__":',
  '"constructor":', '"prototype":', '\\u005f_proto__', '[null]', '[[[[[[', '{"a":{"a":', ']]]]]]', '}}}', 'é', '😀', '\ufeff', '\xff', '0'.repeat(320), 'x'.repeat(70),
].map((word) => Buffer.from(word, word === '\xff' ? 'latin1' : 'utf8'));

const MAX_BYTES = 4096;

/** Another input made of one, or of two. */
export function mutate(input: Buffer, corpus: readonly Buffer[], random: Random): Buffer {
  let bytes = input;
  for (let left = 1 + random(4); left > 0; left--) bytes = once(bytes, corpus, random);
  return bytes.subarray(0, MAX_BYTES);
}

function once(bytes: Buffer, corpus: readonly Buffer[], random: Random): Buffer {
  const at = random(bytes.length + 1);
  const length = Math.min(bytes.length - at, 1 + random(random(10) === 0 ? 200 : 8));
  const [before, part, after] = [
    bytes.subarray(0, at),
    bytes.subarray(at, at + length),
    bytes.subarray(at + length),
  ];
  const word = WORDS[random(WORDS.length)] ?? Buffer.alloc(0);
  switch (random(8)) {
    case 0: {
      const changed = Buffer.from(bytes);
      if (at < bytes.length) changed[at] = random(256);
      return changed;
    }
    case 1: {
      const changed = Buffer.from(bytes);
      if (at < bytes.length) changed[at] = (changed[at] ?? 0) ^ (1 << random(8));
      return changed;
    }
    case 2:
      return Buffer.concat([before, after]);
    case 3:
      return Buffer.concat([before, part, part, after]);
    case 4:
    case 5:
      return Buffer.concat([before, word, part, after]);
    case 6:
      return Buffer.concat([before, word, after]);
    default: {
      const other = corpus[random(corpus.length)] ?? bytes;
      const from = random(other.length + 1);
      return Buffer.concat([before, other.subarray(from, from + 1 + random(64)), after]);
    }
  }
}
