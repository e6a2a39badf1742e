/**
 * The independent model: a plain set of all writes, and for each what its author saw. It knows nothing of dots, clocks,
 * trees or messages, so it can not share a mistake with them.
 *
 * A version is alive until a write that saw it replaces it. That is the whole promise: what is alive here must be shown by
 * every replica (as the file itself or as a conflict copy), and nothing else may be.
 *
 * What users saw is what was on the disk of their host at that moment, found again by its value: the bytes of each write
 * begin with the number of that write, so no two writes have equal bytes unless one is a copy of the other.
 */
import { assert } from '../base/assert.ts';

/** A file's bytes (by number) and mode, a link's target, a record's bytes (by number); `undefined`: deleted. */
export type ModelValue = string | undefined;

export interface ModelVersion {
  readonly number: number;
  readonly key: string;
  readonly value: ModelValue;
  /** Numbers of the versions that the author saw there. */
  seen: readonly number[];
  /** Its host came back without its database: what nobody else knew by then is set aside, or gone with the disk. */
  disowned: boolean;
  /** False: the host died before it answered, so nobody knows whether the write happened. */
  certain: boolean;
  /** Written over whatever was there, unseen: it may have replaced any of these. */
  mayReplace: readonly number[];
}

const COPY_NAME = /^(.*)\.conflict-\d{8}T\d{6}Z-[0-9a-f]{8}(?:[0-9a-f]{8})?-[0-9a-f]+(\.[^./]*)?$/;

/** The path that a conflict copy is a copy of, by its name. */
export function ownerOf(path: string): string | undefined {
  const match = COPY_NAME.exec(path);
  return match === null ? undefined : match[1]! + (match[2] ?? '');
}

export class Model {
  readonly #versions: ModelVersion[] = [];
  readonly #byKey = new Map<string, ModelVersion[]>();
  readonly #refused = new Set<number>();

  get size(): number {
    return this.#versions.length;
  }

  /**
   * A value that was kept against others was written twice: who sees it has seen the first of these writes, and nobody here can
   * tell whether the others too.
   */
  write(key: string, value: ModelValue, seen: readonly ModelVersion[]): ModelVersion {
    const version: ModelVersion = {
      number: this.#versions.length,
      key,
      value,
      certain: true,
      ...this.#sightOf(seen),
      disowned: false,
    };
    this.#versions.push(version);
    const atKey = this.#byKey.get(key);
    if (atKey === undefined) this.#byKey.set(key, [version]);
    else atKey.push(version);
    return version;
  }

  /** It was written over whatever its host had then: that is for nobody here to know. */
  wasBlind(version: ModelVersion): void {
    version.mayReplace = (this.#byKey.get(version.key) ?? []).map(({ number }) => number).filter((number) => number !== version.number);
  }

  /** Somebody is about to replace these, and it may happen or not. */
  doubt(key: string, versions: readonly ModelVersion[]): ModelVersion {
    const version = this.write(key, undefined, []);
    version.mayReplace = versions.map(({ number }) => number);
    return version;
  }

  /** It has replaced these, as is known only now; or may have, where its host is not back in the share yet. */
  replace(version: ModelVersion, seen: readonly ModelVersion[]): void {
    const sight = this.#sightOf(seen);
    version.seen = sight.seen;
    version.mayReplace = sight.mayReplace.filter((number) => number !== version.number);
    if (version.disowned) this.doubtWrite(version);
  }

  /** Now it is known. */
  settle(version: ModelVersion): void {
    version.mayReplace = [];
  }

  /** It may have happened or not, and so may what it replaced be gone or not. */
  doubtWrite(version: ModelVersion): void {
    version.disowned = true;
    version.certain = false;
    version.mayReplace = [...version.mayReplace, ...version.seen];
    version.seen = [];
  }

  /** A host starts anew: what only it had may be there in the end, or not. Gives what was alive of that. */
  disown(knownElsewhere: (version: ModelVersion) => boolean): ModelVersion[] {
    const { must } = this.alive(() => false);
    const disowned: ModelVersion[] = [];
    for (const version of this.#versions) {
      if (version.disowned || knownElsewhere(version)) continue;
      if (version.value !== undefined && must.get(version.key)?.has(version.value) === true) disowned.push(version);
      this.doubtWrite(version);
    }
    return disowned;
  }

  /** It was refused: it never happened. */
  forget(version: ModelVersion): void {
    this.#refused.add(version.number);
  }

  /** The newest write of this value at the key. */
  find(key: string, value: string): ModelVersion | undefined {
    return this.#byKey.get(key)?.findLast((version) => version.value === value);
  }

  /** What is shown at `path` with this value: a version of the path itself, or of the path that it is a conflict copy of. */
  findShown(path: string, value: string): ModelVersion | undefined {
    for (let at: string | undefined = path; at !== undefined; at = ownerOf(at)) {
      const version = this.find(`f/${at}`, value);
      if (version !== undefined) return version;
    }
    return undefined;
  }

  keys(): readonly string[] {
    return [...this.#byKey.keys()];
  }

  /**
   * Live values by key, and those that may be replaced. `shows`: does this value turn up at its key in the end? Asked for uncertain writes only: one that
   * does, or that another write saw, did happen.
   */
  alive(shows: (key: string, value: string) => boolean): {
    readonly must: Map<string, Set<string>>;
    readonly may: Map<string, Set<string>>;
  } {
    const seenByOthers = new Set(this.#versions.filter(({ certain }) => certain).flatMap(({ seen }) => seen));
    const happened = (version: ModelVersion): boolean =>
      !this.#refused.has(version.number) &&
      (version.certain || seenByOthers.has(version.number) || (version.value !== undefined && shows(version.key, version.value)));
    const dead = new Set<number>();
    for (const version of this.#versions) if (happened(version)) for (const number of version.seen) dead.add(number);
    // An uncertain delete leaves no trace of its own: it happened if what it saw is gone.
    for (const version of this.#versions) {
      if (version.certain || version.value !== undefined || this.#refused.has(version.number)) continue;
      const gone = version.seen.every((number) => !shows(version.key, this.#at(number).value ?? ''));
      if (gone) for (const number of version.seen) dead.add(number);
    }
    const doubtful = new Set(this.#versions.flatMap(({ mayReplace }) => mayReplace));
    const must = new Map<string, Set<string>>();
    const may = new Map<string, Set<string>>();
    for (const version of this.#versions) {
      if (version.value === undefined || dead.has(version.number) || !happened(version)) continue;
      const alive = doubtful.has(version.number) ? may : must;
      alive.set(version.key, (alive.get(version.key) ?? new Set()).add(version.value));
    }
    return { must, may };
  }

  #sightOf(seen: readonly ModelVersion[]): { readonly seen: readonly number[]; readonly mayReplace: readonly number[] } {
    const twins = seen.map((version) => this.#twinsOf(version).map(({ number }) => number));
    return { seen: twins.map(([first]) => first!), mayReplace: twins.flatMap(([, ...others]) => others) };
  }

  /** All writes of this value at its key, the oldest first. */
  #twinsOf(version: ModelVersion): readonly ModelVersion[] {
    const { key, value } = version;
    const twins = value === undefined ? [] : (this.#byKey.get(key) ?? []).filter((other) => other.value === value);
    return twins.length === 0 ? [version] : twins;
  }

  #at(number: number): ModelVersion {
    const version = this.#versions[number];
    assert(version !== undefined, 'a version is seen after it was written');
    return version;
  }
}
