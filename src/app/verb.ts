/** What a verb of the command line is made of, and the options that several verbs have. */
import { LIST_LIMIT_MAX } from './defaults.ts';
import { formatBytes, parseDuration, parseSize } from './quantities.ts';

/** As the command line gives them: `pullEvery` for `--pull-every`, and only those that were typed or have a default. */
export type Options = Readonly<Record<string, unknown>>;

export interface OptionSpec {
  readonly flags: string;
  readonly description: string;
  /** Given the text and the value so far. @throws {RangeError} saying what the value must be */
  readonly parse?: (text: string, before: unknown) => unknown;
  readonly default?: { readonly value: unknown; readonly text: string };
}

export interface Verb {
  readonly name: string;
  readonly summary: string;
  /** `[x]` optional, `<x>` required. */
  readonly usage: readonly (readonly [name: string, description: string])[];
  readonly options: readonly OptionSpec[];
  readonly example: string;
  /** Returns the exit code. Undefined: one of the verbs below it has to be named. */
  readonly action: ((options: Options, ...positional: (string | undefined)[]) => Promise<number>) | undefined;
  /** `conflicts resolve`: verbs whose name comes after this one's. */
  readonly below?: readonly Verb[];
}

export const FOLDER = ['[FOLDER]', 'the shared folder (default: the current one, or one above it, that a node runs for)'] as const;

export function option(flags: string, description: string): OptionSpec {
  return { flags, description };
}

export function folderOption(): OptionSpec {
  return option('--folder <folder>', 'the shared folder (default: the current one, or one above it, that a node runs for)');
}

export function watchOption(): OptionSpec {
  return option('--watch', 'show it again whenever it changes');
}

export function durationOption(flags: string, description: string, defaultText?: string): OptionSpec {
  const spec = { flags, description, parse: durationArgument };
  return defaultText === undefined ? spec : { ...spec, default: { value: durationArgument(defaultText), text: defaultText } };
}

function durationArgument(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new RangeError('It must be a duration such as 300ms, 30s or 1h.');
  return ms;
}

export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new RangeError(`It must be a whole number from ${min} to ${max}.`);
  };
}

export function sizeArgument(minBytes: number, maxBytes: number): (text: string) => number {
  return (text) => {
    const bytes = parseSize(text);
    if (bytes !== undefined && bytes >= minBytes && bytes <= maxBytes) return bytes;
    throw new RangeError(`It must be a size from ${formatBytes(minBytes)} to ${formatBytes(maxBytes)}, such as 512MiB.`);
  };
}

export function limitOption(description: string): OptionSpec {
  return { flags: '--limit <count>', description, parse: wholeNumber(1, LIST_LIMIT_MAX) };
}

export function folderOf(options: Options, positional: string | undefined): string | undefined {
  return positional ?? (options['folder'] as string | undefined);
}
