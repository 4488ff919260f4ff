import { type Aim, AIMS } from './aims.js';
import { type Comparison, type Figure, type Report, textOf } from './report.js';

export const TABLE_START = '<!-- bench: the table begins -->';
export const TABLE_END = '<!-- bench: the table ends -->';

/** The document with this text between its markers. Throws where it lacks them. */
export function withTable(document: string, table: string): string {
  const [start, end] = [document.indexOf(TABLE_START), document.indexOf(TABLE_END)];
  if (start < 0 || end < start) throw new Error(`The document lacks ${TABLE_START} … ${TABLE_END}`);
  return `${document.slice(0, start + TABLE_START.length)}\n${table}\n${document.slice(end)}`;
}

/** The table as Markdown, a row for each aim; what was not measured has an empty row. */
export function tableOf(reports: ReadonlyMap<string, Report>, date: Date): string {
  const machines = new Set([...reports.values()].map(({ machine }) => machine));
  return [
    `Taken on ${date.toISOString().slice(0, 10)}: ${[...machines].join('; ')}.`,
    '',
    '| Bench | Measured, and against what | Service | Other side | Ratio | Must | Aim |',
    '|---|---|---|---|---|---|---|',
    ...AIMS.map((aim) => rowOf(aim, comparisonFor(aim, reports))),
  ].join('\n');
}

function comparisonFor(aim: Aim, reports: ReadonlyMap<string, Report>): Comparison | undefined {
  return reports.get(aim.bench)?.comparisons.find(({ name }) => name === aim.comparison);
}

function rowOf({ bench, what, bound, must, aim }: Aim, comparison: Comparison | undefined): string {
  const sign = bound === 'at least' ? '≥' : '≤';
  const figure = (index: 0 | 1): string => (comparison === undefined ? '–' : cell(comparison.sides[index]));
  const ratio = comparison?.ratio;
  const shown =
    ratio === undefined ? '–' : `${ratio.toFixed(2)}${isMet(bound, must, ratio) ? '' : ' (missed)'}`;
  const cells = [`bench:${bench}`, what, figure(0), figure(1), shown, `${sign} ${must}`, `${sign} ${aim}`];
  return `| ${cells.join(' | ')} |`;
}

function isMet(bound: Aim['bound'], must: number, ratio: number): boolean {
  return bound === 'at least' ? ratio >= must : ratio <= must;
}

function cell({ side, ...figure }: Figure): string {
  return `${side}: ${textOf(figure)}`;
}
