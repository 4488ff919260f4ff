import { writeFileSync } from 'node:fs';
import { machine } from './machine.js';

/** A median of one side. */
export interface Figure {
  readonly side: string;
  readonly value: number;
  readonly unit: string;
}

export interface Comparison {
  /** Which of a bench's comparisons; absent: the only one, or the main one. */
  readonly name?: string;
  /** The service, then what it is measured against. */
  readonly sides: readonly [Figure, Figure];
  readonly ratio: number;
}

/** What a bench has measured, as `--json` writes it. */
export interface Report {
  readonly bench: string;
  readonly machine: string;
  readonly method: string;
  /** The main one first. */
  readonly comparisons: readonly Comparison[];
  /** Whatever else is worth keeping: figures of each round, above all. */
  readonly details: unknown;
}

export interface Finding extends Omit<Report, 'machine'> {
  readonly json?: string | undefined;
}

/** The first lines of every bench. */
export function announce(method: string): void {
  console.log(`machine: ${machine()}`);
  console.log(`method: ${method}`);
}

/** The last lines: both sides of each comparison, its ratio, and that of the main comparison at the very end. */
export function conclude({ json, ...finding }: Finding): void {
  const report: Report = { ...finding, machine: machine() };
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(report, null, 2)}\n`);
  for (const { name, sides, ratio } of [...report.comparisons].reverse()) {
    for (const figure of sides) console.log(`${figure.side}: ${textOf(figure)}`);
    console.log(`${name === undefined ? 'ratio' : `ratio, ${name}`}: ${ratio.toFixed(2)}`);
  }
}

/** Three digits or all before the point. */
export function textOf({ value, unit }: Pick<Figure, 'value' | 'unit'>): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return `${value.toLocaleString('en', options)} ${unit}`.trimEnd();
}
