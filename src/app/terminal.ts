/**
 * Where a verb writes, and how: results to stdout, everything else to stderr. Verbs get this as an argument so that
 * tests can read what they wrote.
 */
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { styleText } from 'node:util';
import { systemCode } from '../base/errors.ts';

export interface Terminal {
  out(text: string): void;
  err(text: string): void;
  /** Bytes as they are, to stdout. */
  pipeOut(source: Readable): Promise<void>;
  /** From now on the process goes on when nobody reads its stdout any more: a node must not die with `| head`. */
  outliveReader(): void;
  /** stdout is a terminal: what is there may be drawn over. */
  readonly interactive: boolean;
  /** stderr is a terminal: a progress bar may be shown there. */
  readonly interactiveErrors: boolean;
  readonly colors: boolean;
}

export type Style = 'bold' | 'dim' | 'green' | 'yellow' | 'red';

export function processTerminal(): Terminal {
  const { stdout, stderr, env } = process;
  let outlives = false;
  stdout.on('error', (error) => {
    if (systemCode(error) !== 'EPIPE') throw error;
    if (!outlives) process.exit(0);
  });
  const plain = (env['NO_COLOR'] ?? '') !== '' || env['TERM'] === 'dumb';
  return {
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
    pipeOut: (source) => pipeline(source, stdout, { end: false }),
    outliveReader: () => (outlives = true),
    interactive: stdout.isTTY,
    interactiveErrors: stderr.isTTY,
    colors: stdout.isTTY && !plain,
  };
}

/** What every verb is given. */
export interface VerbContext {
  readonly terminal: Terminal;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly currentFolder: string;
}

export function paint(terminal: Terminal, style: Style, text: string): string {
  return terminal.colors ? styleText(style, text) : text;
}

/** One JSON document. A field without a value is `null`, never absent: scripts see the same fields every time. */
export function toJson(value: unknown, indent: number = 2): string {
  return JSON.stringify(value, (_key, field: unknown) => (field === undefined ? null : field), indent);
}

/** The inverse for our own types, which say `undefined` where JSON says `null`. */
export function fromJson(text: string): unknown {
  return nullsToUndefined(JSON.parse(text));
}

function nullsToUndefined(value: unknown): unknown {
  if (value === null) return undefined;
  if (Array.isArray(value)) return value.map(nullsToUndefined);
  if (typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, nullsToUndefined(field)]));
}

/** What came from outside our control goes to a terminal without its control characters: a file name may hold an escape sequence. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** Left-aligned columns, two spaces apart; the last one is as wide as it likes. */
export function columns(rows: readonly (readonly string[])[], indent: string = ''): string {
  const widths: number[] = [];
  for (const row of rows) for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, cell.length);
  const line = (row: readonly string[]) => row.map((cell, at) => (at === row.length - 1 ? cell : cell.padEnd(widths[at]!))).join('  ');
  return rows.map((row) => `${indent}${line(row)}\n`).join('');
}
