/** Where messages and captions are shown: aligned text, with colours on a terminal that wants them. */
export class Stage {
  private readonly hasColours: boolean;

  /**
   * @param addressWidth the longest address
   * @param isFull metadata in full; otherwise as `{…}`
   */
  constructor(
    private readonly output: NodeJS.WriteStream,
    private readonly nameWidth: number,
    private readonly addressWidth: number,
    private readonly isFull: boolean,
  ) {
    const { NO_COLOR: noColour } = process.env;
    this.hasColours = output.isTTY && (noColour === undefined || noColour === '');
  }

  title(text: string): void {
    this.line(`\n${this.paint('1', text)}`);
  }

  caption(text: string): void {
    this.line(`  ${this.paint('2', `# ${text}`)}`);
  }

  message(from: string, address: string, document?: object): void {
    const json = document === undefined ? '' : this.text(document);
    const who = this.paint('36', from.padEnd(this.nameWidth));
    const where = this.paint(colourOf(address), address.padEnd(this.addressWidth));
    this.line(`  ${who} → ${where}  ${json}`.trimEnd());
  }

  private text(document: object): string {
    return JSON.stringify(document, (key, value: unknown) =>
      key === 'metadata' && !this.isFull ? ELLIPSIS : value,
    ).replaceAll(`"${ELLIPSIS}"`, '{…}');
  }

  private line(text: string): void {
    this.output.write(`${text}\n`);
  }

  private paint(code: string, text: string): string {
    return this.hasColours ? `\u001b[${code}m${text}\u001b[0m` : text;
  }
}

/** Stands for metadata until it is text. */
const ELLIPSIS = '…metadata…';

function colourOf(address: string): string {
  if (address.includes('rejected')) return '31';
  if (address.includes('delta')) return '33';
  return address.includes('accepted') ? '32' : '0';
}
