import { type Json } from '@duckdb/node-api';
import { type QueryOutput } from '../adapters/analytics/duckdb/query.js';
import { csvField } from '../application/event-row.js';
import { type TextOutput } from './output.js';

export type TableFormat = 'table' | 'ndjson' | 'csv';

/** Widths are those of so many first rows, so that a long result needs no memory. */
const MEASURED_ROWS = 1000;

/** Prints rows as they come. */
export class TableWriter implements QueryOutput {
  private columns: readonly string[] = [];
  private isNumber: readonly boolean[] = [];
  private held: string[][] | null = [];
  private widths: number[] = [];
  private count = 0;

  constructor(
    private readonly output: TextOutput,
    private readonly format: TableFormat,
  ) {}

  async begin(columns: readonly string[], isNumber: readonly boolean[]): Promise<void> {
    this.columns = columns;
    this.isNumber = isNumber;
    if (this.format === 'csv')
      await this.output.write(`${columns.map((name) => csvField(name)).join(',')}\r\n`);
  }

  async rows(rows: readonly (readonly Json[])[]): Promise<void> {
    for (const row of rows) await this.row(row);
  }

  async end(): Promise<void> {
    if (this.format !== 'table') return;
    await this.release();
    await this.output.write(`(${this.count} ${this.count === 1 ? 'row' : 'rows'})\n`);
  }

  private async row(row: readonly Json[]): Promise<void> {
    this.count++;
    if (this.format === 'ndjson') {
      const members = this.columns.map((name, index) => `${JSON.stringify(name)}:${this.jsonOf(row, index)}`);
      return this.output.write(`{${members.join(',')}}\n`);
    }
    if (this.format === 'csv') {
      return this.output.write(`${row.map((value) => csvField(plain(value))).join(',')}\r\n`);
    }
    const cells = row.map((value) => visible(plain(value) ?? ''));
    if (this.held === null) return this.line(cells);
    this.held.push(cells);
    if (this.held.length === MEASURED_ROWS) await this.release();
  }

  /** DuckDB gives 64-bit numbers as text, so that they stay exact; in JSON they are numbers again. */
  private jsonOf(row: readonly Json[], index: number): string {
    const value = row[index] ?? null;
    const isExact = this.isNumber[index] === true && typeof value === 'string' && /^-?\d/.test(value);
    return isExact ? value : JSON.stringify(value);
  }

  private async release(): Promise<void> {
    if (this.held === null) return;
    const lines = this.held;
    this.held = null;
    const header = this.columns.map(visible);
    this.widths = header.map((name, index) =>
      Math.max(...[header, ...lines].map((row) => lengthOf(row[index] ?? name))),
    );
    await this.output.write(
      `${this.joined(header)}\n${this.widths.map((width) => '-'.repeat(width)).join('  ')}\n`,
    );
    for (const cells of lines) await this.line(cells);
  }

  private line(cells: readonly string[]): Promise<void> {
    return this.output.write(`${this.joined(cells)}\n`);
  }

  private joined(cells: readonly string[]): string {
    return cells
      .map((cell, index) => {
        const room = ' '.repeat(Math.max(0, (this.widths[index] ?? 0) - lengthOf(cell)));
        return this.isNumber[index] === true ? room + cell : cell + room;
      })
      .join('  ')
      .trimEnd();
  }
}

function plain(value: Json): string | null {
  if (value === null) return null;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** On one line, and without what a terminal would obey. */
function visible(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, '�');
}

function lengthOf(text: string): number {
  return Array.from(text).length;
}
