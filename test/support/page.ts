/** A command that a page shows, and what it printed. */
export interface Shown {
  readonly command: string;
  readonly output: string;
}

/** What a page of documentation shows: commands after a `$`, which may go on over lines that end in `\` or within quotes, and what they printed. */
export function shownOn(page: string): Shown[] {
  const blocks = [...page.matchAll(/```console\n([^]*?)```/g)].map(([, block = '']) => block);
  return blocks.flatMap((block) =>
    block
      .split(/^\$ /m)
      .slice(1)
      .map((text) => {
        const lines = text.split('\n');
        let end = 1;
        while (isOpen(lines.slice(0, end).join('\n')) && end < lines.length) end++;
        return { command: lines.slice(0, end).join('\n'), output: lines.slice(end).join('\n') };
      }),
  );
}

function isOpen(command: string): boolean {
  return command.endsWith('\\') || (command.split('"').length - 1) % 2 === 1;
}

/** The page's program in a language. Throws where it has none. */
export function programIn(page: string, language: string): string {
  const program = new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``).exec(page)?.[1];
  if (program === undefined) throw new Error(`The page has no program in ${language}`);
  return program;
}
