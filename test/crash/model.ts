/**
 * The independent model of real hosts: a plain set of all versions that a writer made, and what its author saw where it
 * wrote. It knows nothing of dots, clocks or trees.
 *
 * Invariant, and exact: what nobody has replaced is alive, as the file itself or as a conflict copy. What must be gone is
 * known less exactly: whoever overwrites a file that a node has just put there, in the very moment between the rename and
 * the commit that records it, may have replaced something that the node does not know it showed; then both versions stay,
 * which is the safe side. So a version must be gone only if it had come to rest as the file that was shown, with all hosts
 * in sync, before it was seen; and what is once gone at rest stays gone.
 *
 * All bytes of a version are unique at their path, and known by their sum: a file that has no known sum is torn.
 */
import { createHash } from 'node:crypto';

interface Version {
  /** `perhaps`: replaced by somebody of whom it is not certain that his node knew what he saw; or a write without an answer. */
  fate: 'alive' | 'perhaps' | 'gone';
  /** It was shown at the path itself when all was quiet. */
  settled: boolean;
}

/** What turned up at one path: the sum of the file itself, and those of its conflict copies. */
export interface Shown {
  readonly winner: string;
  readonly others: readonly string[];
}

export interface Verdict {
  readonly lost: readonly string[];
  readonly resurrected: readonly string[];
  /** Bytes that nobody wrote there. */
  readonly strange: readonly string[];
  /** What was done at the paths of all these. */
  readonly stories: readonly string[];
  /** Versions that are shown, all in all. */
  readonly alive: number;
  /** Kept, although it was replaced: the node could not know. */
  readonly keptInDoubt: number;
}

const STORY_LINES = 30;

const COPY_NAME = /^(.*)\.conflict-\d{8}T\d{6}Z-[0-9a-f]{8}(?:[0-9a-f]{8})?-[0-9a-f]+(\.[^./]*)?$/;

/** The path that a conflict copy is a copy of, by its name; undefined for any other file. */
export function ownerOf(path: string): string | undefined {
  const match = COPY_NAME.exec(path);
  return match === null ? undefined : match[1]! + (match[2] ?? '');
}

export function sumOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16);
}

export class Model {
  readonly #paths = new Map<string, Map<string, Version>>();
  readonly #sums = new Set<string>();
  /** What was done at a path, for who has to find out what went wrong there. */
  readonly #stories = new Map<string, string[]>();

  /** These bytes are what some writer made, at any path. */
  isKnown(sum: string): boolean {
    return this.#sums.has(sum);
  }

  /** This version was made at this path before: its bytes would not be unique. */
  has(path: string, sum: string): boolean {
    return this.#paths.get(path)?.has(sum) === true;
  }

  /** Somebody put the bytes there, in the place of those that he `saw` there. */
  wrote(by: string, path: string, sum: string, saw: string | undefined): void {
    this.#tell(path, `${by} wrote ${sum} over ${saw ?? 'nothing'}`);
    this.#replaced(path, saw);
    this.#add(path, sum, 'alive');
  }

  /** Also of a conflict copy, whose version then goes from the path that it is a copy of. */
  removed(by: string, path: string, saw: string): void {
    this.#tell(ownerOf(path) ?? path, `${by} removed ${saw}${ownerOf(path) === undefined ? '' : ', a copy'}`);
    this.#replaced(ownerOf(path) ?? path, saw);
  }

  /** A write through the API with the answer that it happened: the node itself knows what was seen. */
  put(by: string, path: string, sum: string, saw: readonly string[]): void {
    this.#tell(path, `${by} put ${sum} over ${saw.join(' ')}`);
    for (const old of saw) this.#fate(path, old, 'gone');
    this.#add(path, sum, 'alive');
  }

  /** One without an answer: it happened or not. */
  putPerhaps(by: string, path: string, sum: string, saw: readonly string[]): void {
    this.#tell(path, `${by} perhaps put ${sum} over ${saw.join(' ')}`);
    for (const old of saw) this.#fate(path, old, 'perhaps');
    this.#add(path, sum, 'perhaps');
  }

  /** All is quiet: compares with what is shown, which is what counts from now on. */
  judge(shown: ReadonlyMap<string, Shown>): Verdict {
    const verdict = {
      lost: [] as string[],
      resurrected: [] as string[],
      strange: [] as string[],
      stories: [] as string[],
      alive: 0,
      keptInDoubt: 0,
    };
    for (const path of new Set([...shown.keys(), ...this.#paths.keys()])) {
      const there = shown.get(path);
      const sums = there === undefined ? [] : [there.winner, ...there.others];
      const versions = this.#paths.get(path) ?? new Map<string, Version>();
      const of = (list: string[], sum: string): void => {
        list.push(`${path} ${sum}`);
        verdict.stories.push(`${path} shows ${sums.join(' ')}\n  ${(this.#stories.get(path) ?? []).join('\n  ')}`);
      };
      for (const sum of sums) if (!versions.has(sum)) of(verdict.strange, sum);
      for (const [sum, version] of versions) {
        const isShown = sums.includes(sum);
        if (!isShown && version.fate === 'alive') of(verdict.lost, sum);
        if (isShown && version.fate === 'gone') of(verdict.resurrected, sum);
        if (isShown && version.fate === 'perhaps') verdict.keptInDoubt++;
        if (isShown) verdict.alive++;
        version.fate = isShown ? 'alive' : 'gone';
        version.settled = isShown && there!.winner === sum;
      }
      this.#tell(path, `at rest: ${sums.join(' ')}`);
    }
    return verdict;
  }

  #tell(path: string, what: string): void {
    const story = [...(this.#stories.get(path) ?? []), `${new Date().toISOString().slice(14, 23)} ${what}`];
    this.#stories.set(path, story.slice(-STORY_LINES));
  }

  #add(path: string, sum: string, fate: Version['fate']): void {
    if (this.has(path, sum)) throw new Error(`${path} had these bytes before`);
    const versions = this.#paths.get(path) ?? new Map<string, Version>();
    this.#paths.set(path, versions.set(sum, { fate, settled: false }));
    this.#sums.add(sum);
  }

  #replaced(path: string, saw: string | undefined): void {
    const version = saw === undefined ? undefined : this.#paths.get(path)?.get(saw);
    if (version !== undefined && version.fate !== 'gone') version.fate = version.settled ? 'gone' : 'perhaps';
  }

  #fate(path: string, sum: string, fate: 'perhaps' | 'gone'): void {
    const version = this.#paths.get(path)?.get(sum);
    if (version !== undefined && version.fate !== 'gone') version.fate = fate;
  }
}

/** Files of a folder, sums by path, as the model wants them: copies under the path that they belong to. */
export function shownOf(sums: ReadonlyMap<string, string>): Map<string, Shown> {
  const shown = new Map<string, { winner: string; others: string[] }>();
  const at = (path: string): { winner: string; others: string[] } => {
    const found = shown.get(path) ?? { winner: '', others: [] };
    shown.set(path, found);
    return found;
  };
  for (const [path, sum] of sums) {
    const owner = ownerOf(path);
    if (owner === undefined) at(path).winner = sum;
    else at(owner).others.push(sum);
  }
  return shown;
}
