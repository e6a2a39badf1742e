/**
 * Which paths are left alone: the rules of `.samerootignore` at the top of the folder, in gitignore syntax.
 *
 * An ignored path is treated as neither on the disk nor in the `placed` table: nothing there is replicated, and adding
 * a rule deletes nothing elsewhere. The file with the rules is replicated itself and never ignored. It is the only one:
 * rules in subfolders would make "is this path ignored?" depend on files that may not have arrived yet.
 */
import { createRequire } from 'node:module';
import type { default as MakeIgnore, Ignore } from 'ignore';
import { messageOf, SamerootError, systemCode } from '../base/errors.ts';
import type { Disk } from './disk.ts';
import { readText } from './file-io.ts';

export const IGNORE_FILE = '.samerootignore';
/** The package keeps every path it was asked about; past this many it starts afresh, so that memory stays bounded. */
const REMEMBERED_PATHS_MAX = 20_000;

export class IgnoreRules {
  readonly text: string;
  #rules: Ignore | undefined;
  #asked = 0;

  constructor(text: string) {
    this.text = text;
    this.#rules = hasRules(text) ? compile(text) : undefined;
  }

  /** `path` or one of its parents is ignored. Rules that end with `/` match folders only, so it matters what `path` is. */
  ignores(path: string, isDirectory: boolean): boolean {
    if (this.#rules === undefined || path === IGNORE_FILE) return false;
    if (++this.#asked > REMEMBERED_PATHS_MAX) {
      this.#rules = compile(this.text);
      this.#asked = 0;
    }
    return this.#rules.ignores(isDirectory ? `${path}/` : path);
  }

  /** The rule that leaves `path` alone: as `ignores`, but slow. Lines count from 1. */
  ruleFor(path: string, isDirectory: boolean): { readonly line: number; readonly rule: string } | undefined {
    if (!this.ignores(path, isDirectory)) return undefined;
    const lines = this.text.split(/\r?\n/);
    const marked = noRules().add(lines.map((pattern, at) => ({ pattern, mark: String(at + 1) })));
    const { rule } = marked.test(isDirectory ? `${path}/` : path);
    return rule?.mark === undefined ? undefined : { line: Number(rule.mark), rule: rule.pattern };
  }
}

export const NO_RULES: IgnoreRules = new IgnoreRules('');

/**
 * The rules of a folder; none where there is no such file.
 * @throws {SamerootError} `IO_ERROR` if they can not be read: guessing would replicate what nobody wants
 */
export function readRules(disk: Disk, root: string): string {
  try {
    return readText(disk, `${root}/${IGNORE_FILE}`);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'EISDIR' || code === 'ENOTDIR') return '';
    throw new SamerootError('IO_ERROR', messageOf(error), { cause: error, path: IGNORE_FILE });
  }
}

function compile(text: string): Ignore {
  return noRules().add(text);
}

/**
 * The package is loaded where there are rules, and by `require`: for an `import` Node.js looks through the package for
 * the names that it exports, which takes each thread 26 ms of CPU when it starts.
 */
function noRules(): Ignore {
  const makeIgnore = createRequire(import.meta.url)('ignore') as typeof MakeIgnore;
  return makeIgnore({ ignorecase: false });
}

function hasRules(text: string): boolean {
  return text.split('\n').some((line) => line.trim() !== '' && !line.startsWith('#'));
}
