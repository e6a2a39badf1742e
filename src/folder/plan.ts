/**
 * What has to be done on the disk so that it shows some entries: wishes (from the view of each entry) against placed
 * rows, path by path. Reads the database only; nothing here looks at the disk.
 *
 * A conflict copy belongs to the path whose entry it comes from (its owner). Where a path is both a conflict copy's and
 * an entry's own, the entry's own counts.
 */
import type { ErrorCode } from '../base/errors.ts';
import { asBuffer, byteKey, equalBytes, toHex, utf8 } from '../base/bytes.ts';
import { MIB } from '../base/limits.ts';
import { nextTurn, type Timers } from '../base/world.ts';
import { contentHash, contentLevel } from '../content/content-list.ts';
import { compareDots, type Dot, type Entry, type FoundValue, type Value } from '../entry/entry.ts';
import { conflictNames, isLive, view, type View } from '../entry/view.ts';
import type { Replica } from '../replica/replica.ts';
import * as keyspace from '../store/keyspace.ts';
import { wholeMs } from './disk-stat.ts';
import { leadsOutside } from './links.ts';
import { comparePaths, fileKey, parentPath, pathOfKey, pathProblem } from './paths.ts';
import type { Check, Placement, Removal, Touch, WantedFile } from './place-batch.ts';
import { decodePlaced, getPlaced, isWithheld, type Placed } from './placed.ts';
import type { Staging } from './staging.ts';

/** What should be at a path. */
export interface Wish {
  readonly owner: string;
  readonly value: FoundValue;
  readonly dots: readonly Dot[];
  readonly copies: boolean;
  /** Nobody's entry, only a parent of one. */
  readonly implied: boolean;
}

export interface PathPlan {
  readonly path: string;
  readonly row: Placed | undefined;
  readonly wish: Wish | undefined;
  /** Of a folder that may have to stay although its entry is deleted: the dots of the deletion. */
  readonly buried: readonly Dot[];
}

export interface KeyPlan {
  readonly key: Uint8Array;
  readonly entry: Entry;
  readonly paths: readonly string[];
  /** Why it cannot be shown whatever the disk looks like; then nothing of it is touched. */
  readonly problem: { readonly code: ErrorCode; readonly message: string } | undefined;
}

export interface Planned<T> {
  readonly plan: PathPlan;
  readonly operation: T;
}

export interface Plan {
  readonly paths: ReadonlyMap<string, PathPlan>;
  readonly keys: readonly KeyPlan[];
  /** Keys that say nothing about the disk. */
  readonly idle: readonly Uint8Array[];
  readonly removals: readonly Planned<Removal>[];
  readonly placements: readonly Planned<Placement>[];
  /** Staged files to be copied first, and which of `placements` gets the copy. */
  readonly duplicates: readonly { readonly name: string; readonly bytes: number; readonly at: number }[];
  readonly touches: readonly Planned<Touch>[];
  /** Only the row changes. */
  readonly refreshes: readonly Planned<Check>[];
  /** Folders that stay, as parents of what is placed. */
  readonly left: readonly PathPlan[];
}

/** Larger files are copied in slices, outside of the batch: see local-sources.ts. */
const DUPLICATE_BYTES_MAX: number = 16 * MIB;
const KEYS_PER_TURN = 512;
/** Mode of a parent whose own entry has not come yet. */
const IMPLIED_FOLDER_MODE = 0o755;
/** Names that are longer may be cut in the names of their conflict copies. */
const STEM_BYTES_UNCUT = 64;
const NO_COPIES: ReadonlyMap<string, Placed> = new Map();

export class Planner {
  readonly #replica: Replica;
  readonly #staging: Staging;
  readonly #timers: Timers;
  readonly #paths = new Map<string, PathPlan>();
  readonly #keys: KeyPlan[] = [];
  readonly #idle: Uint8Array[] = [];
  /** Folders that are needed: above something that will be there. */
  readonly #needed = new Set<string>();

  constructor(replica: Replica, staging: Staging, timers: Timers) {
    this.#replica = replica;
    this.#staging = staging;
    this.#timers = timers;
  }

  /** One planner makes one plan. */
  async plan(keys: readonly Uint8Array[]): Promise<Plan> {
    const wishes: { key: Uint8Array; entry: Entry; paths: string[] }[] = [];
    for (const [index, key] of keys.entries()) {
      // A large plan is not to hold up the event loop; what changes meanwhile is noticed at the commit.
      if (index % KEYS_PER_TURN === KEYS_PER_TURN - 1) await nextTurn(this.#timers);
      const path = pathOfKey(key);
      const entry = this.#replica.entry(key);
      if (path === undefined || entry === undefined) this.#idle.push(key);
      else {
        const row = getPlaced(this.#replica.store, path);
        const placedCopies = mayHaveCopies(entry, row) ? await this.#copiesOf(path) : NO_COPIES;
        wishes.push({ key, entry, paths: this.#planKey(path, entry, row, placedCopies) });
      }
    }
    for (const { key, entry, paths } of wishes) this.#keys.push({ key, entry, paths, problem: this.#problemOf(paths) });
    const blocked = new Set(this.#keys.filter(({ problem }) => problem !== undefined).flatMap(({ paths }) => paths));
    this.#planEmptied();
    return this.#operations(blocked);
  }

  #planKey(path: string, entry: Entry, row: Placed | undefined, placedCopies: ReadonlyMap<string, Placed>): string[] {
    const shown = view(entry);
    const wishes = this.#wishes(path, shown);
    const paths = [path];
    const own = wishes.get(path);
    if (own !== undefined || row === undefined || row.owner === path) this.#paths.set(path, { path, row, wish: own, buried: shown.buried });
    for (const [copy, placed] of placedCopies) {
      if (!wishes.has(copy)) this.#add(paths, { path: copy, row: placed, wish: undefined, buried: [] });
    }
    for (const [copy, wish] of wishes) {
      if (copy === path || pathProblem(copy) !== undefined || this.#isOwn(copy)) continue;
      this.#add(paths, { path: copy, row: placedCopies.get(copy) ?? getPlaced(this.#replica.store, copy), wish, buried: [] });
    }
    return paths;
  }

  #add(paths: string[], plan: PathPlan): void {
    // The path's own entry may be in this plan too.
    if (this.#paths.get(plan.path)?.wish?.owner === plan.path) return;
    this.#paths.set(plan.path, plan);
    paths.push(plan.path);
  }

  /** The entry at this path's own key is shown there. */
  #isOwn(path: string): boolean {
    const row = getPlaced(this.#replica.store, path);
    return (row?.owner === path && !isWithheld(row)) || view(this.#replica.entry(fileKey(path))).winner !== undefined;
  }

  #wishes(path: string, shown: View): Map<string, Wish> {
    const wishes = new Map<string, Wish>();
    if (shown.winner === undefined) return wishes;
    const folders = shown.others.filter(({ version }) => version.value.kind === 'directory');
    const names = conflictNames(path, shown.others);
    const others = shown.others
      .map((other, at) => ({ ...other, copy: names[at]! }))
      .filter(({ version }) => isPlaceable(version.value) && version.value.kind !== 'directory');
    const value = shown.winner.version.value;
    if (!isPlaceable(value)) return wishes;
    // Folders that differ in their mode only are no copies to keep: whoever sees one has seen them all.
    const dots = value.kind === 'directory' ? [...shown.winner.dots, ...folders.flatMap((other) => other.dots)] : shown.winner.dots;
    wishes.set(path, { owner: path, value, dots, copies: others.length > 0, implied: false });
    for (const { version, dots, copy } of others) {
      wishes.set(copy, { owner: path, value: version.value as FoundValue, dots, copies: false, implied: false });
    }
    return wishes;
  }

  /** The conflict copies of `owner` that are placed: their names begin with its stem. */
  async #copiesOf(owner: string): Promise<Map<string, Placed>> {
    const nameAt = owner.lastIndexOf('/') + 1;
    const dotAt = owner.lastIndexOf('.');
    const stem = dotAt > nameAt ? owner.slice(nameAt, dotAt) : owner.slice(nameAt);
    const begin =
      utf8(stem).length <= STEM_BYTES_UNCUT
        ? stem
        : Array.from(stem)
            .slice(0, STEM_BYTES_UNCUT / 4)
            .join('');
    const prefix = keyspace.placedKey(utf8(owner.slice(0, nameAt) + begin));
    const found = new Map<string, Placed>();
    for await (const rows of this.#replica.store.iterate(keyspace.prefixRange(prefix))) {
      for (const [key, value] of rows) {
        const path = asBuffer(keyspace.keyBody(key)).toString('utf8');
        const placed = path === owner ? undefined : decodePlaced(path, value);
        if (placed?.owner === owner) found.set(path, placed);
      }
    }
    return found;
  }

  /** Plans the parents that are not there, and tells what cannot be. */
  #problemOf(paths: readonly string[]): KeyPlan['problem'] {
    for (const path of paths) {
      const wish = this.#paths.get(path)?.wish;
      if (wish === undefined) continue;
      if (wish.value.kind === 'symlink' && leadsOutside(path, asBuffer(wish.value.target).toString('latin1'))) {
        return { code: 'LINK_OUTSIDE', message: `a peer's link at ${path} leads out of the folder` };
      }
      const blocked = this.#planParent(parentPath(path));
      if (blocked !== undefined) return { code: 'PATH_BLOCKED', message: `${blocked} is not a folder, so ${path} has no place` };
    }
    return undefined;
  }

  #planParent(path: string | undefined): string | undefined {
    if (path === undefined || this.#needed.has(path)) return undefined;
    const above = this.#planParent(parentPath(path));
    if (above !== undefined) return above;
    const planned = this.#paths.get(path);
    if (planned?.wish !== undefined && planned.wish.value.kind !== 'directory') return path;
    if (planned === undefined && getPlaced(this.#replica.store, path) === undefined) {
      const shown = view(this.#replica.entry(fileKey(path)));
      const wish = this.#wishes(path, shown).get(path);
      if (wish !== undefined && wish.value.kind !== 'directory') return path;
      this.#paths.set(path, { path, row: undefined, wish: wish ?? impliedFolder(path, shown.buried), buried: [] });
    }
    this.#needed.add(path);
    return undefined;
  }

  /** Folders that stayed only because something was in them go with the last of it. */
  #planEmptied(): void {
    const seen = new Set<string>();
    for (const { path, row, wish } of this.#paths.values()) {
      if (row === undefined || wish !== undefined) continue;
      for (let above = parentPath(path); above !== undefined && !seen.has(above); above = parentPath(above)) {
        seen.add(above);
        if (this.#paths.has(above) || this.#needed.has(above)) continue;
        const folder = getPlaced(this.#replica.store, above);
        const shown = view(this.#replica.entry(fileKey(above)));
        if (folder?.kind !== 'directory' || shown.winner !== undefined) break;
        this.#paths.set(above, { path: above, row: folder, wish: undefined, buried: shown.buried });
      }
    }
  }

  #operations(blocked: ReadonlySet<string>): Plan {
    const removals: Planned<Removal>[] = [];
    const placing: PathPlan[] = [];
    const touches: Planned<Touch>[] = [];
    const refreshes: Planned<Check>[] = [];
    const left: PathPlan[] = [];
    for (const plan of this.#paths.values()) {
      const { path, row, wish } = plan;
      if (blocked.has(path)) continue;
      if (row === undefined) {
        if (wish !== undefined) placing.push(plan);
      } else if (wish !== undefined && sameBytes(row, wish.value)) {
        const touch = touchOf(path, row, wish.value);
        if (touch !== undefined) touches.push({ plan, operation: touch });
        else if (!sameShown(row, wish)) refreshes.push({ plan, operation: { path, was: { kind: row.kind, stat: row.stat } } });
      } else {
        const replaces = wish !== undefined && (row.kind === 'directory') === (wish.value.kind === 'directory');
        if (replaces) placing.push(plan);
        else if (row.kind === 'directory' && this.#needed.has(path)) left.push(plan);
        else {
          const was = { kind: row.kind, stat: row.stat };
          const mayBeGone = !this.#isShownElsewhere(path, row, wish);
          removals.push({ plan, operation: { path, was, keepAs: undefined, setAside: isWithheld(row), mayBeGone } });
          if (wish !== undefined) placing.push(plan);
        }
      }
    }
    removals.sort((a, b) => comparePaths(b.plan.path, a.plan.path));
    placing.sort((a, b) => comparePaths(a.path, b.path));
    touches.sort((a, b) => comparePaths(b.plan.path, a.plan.path));
    const sourced = this.#sources(removals, placing);
    return { paths: this.#paths, keys: this.#keys, idle: this.#idle, ...sourced, touches, refreshes, left };
  }

  /** A version that this row shows is alive. */
  #isShownElsewhere(path: string, row: Placed, wish: Wish | undefined): boolean {
    if (wish === undefined && row.owner === path) return false;
    const versions = this.#replica.entry(fileKey(row.owner))?.versions ?? [];
    return versions.some(({ dot, value }) => isLive(value) && row.dots.some((shown) => compareDots(shown, dot) === 0));
  }

  /** Finds the bytes: in staging, or in a file that goes away in this very plan. */
  #sources(removals: readonly Planned<Removal>[], placing: readonly PathPlan[]): Pick<Plan, 'removals' | 'placements' | 'duplicates'> {
    const vanishing = new Map<string, Planned<Removal>>();
    for (const removal of removals) {
      const { content, stat } = removal.plan.row!;
      if (content !== undefined && stat.bytes > 0) vanishing.set(byteKey(content), removal);
    }
    const kept = new Map<Planned<Removal>, string>();
    const taken = new Set<string>();
    const duplicates: { name: string; bytes: number; at: number }[] = [];
    const placements = placing.map((plan, at): Planned<Placement> => {
      const { path, row, wish } = plan;
      const removed = row !== undefined && (row.kind === 'directory') !== (wish!.value.kind === 'directory');
      const was = row === undefined || removed ? undefined : { kind: row.kind, stat: row.stat };
      const setAside = row !== undefined && isWithheld(row);
      const { value } = wish!;
      if (value.kind === 'directory')
        return { plan, operation: { path, was, want: { ...value, implied: wish!.implied }, setAside, row: undefined } };
      if (value.kind === 'symlink') return { plan, operation: { path, was, want: value, setAside, row: undefined } };
      const staged = value.bytes === 0 ? undefined : this.#staging.placeable(value.content);
      const source = vanishing.get(byteKey(value.content));
      if (staged?.known === false && source !== undefined) kept.set(source, staged.name);
      const isThere = staged?.known === true || (staged !== undefined && source !== undefined);
      const mayMove = isThere && !staged.copy && !taken.has(staged.name);
      if (mayMove) taken.add(staged.name);
      else if (staged?.known === true && (staged.copy || value.bytes <= DUPLICATE_BYTES_MAX)) {
        duplicates.push({ name: staged.name, bytes: value.bytes, at });
      }
      const chunk = contentLevel(value.content) === 0 ? toHex(contentHash(value.content)) : undefined;
      const { bytes, mode, mtimeMs } = value;
      const want: WantedFile = { kind: 'file', bytes, mode, mtimeMs, staged: mayMove ? staged.name : undefined, chunk };
      return { plan, operation: { path, was, want, setAside, row: undefined } };
    });
    const keeping = removals.map((removal) => ({ plan: removal.plan, operation: { ...removal.operation, keepAs: kept.get(removal) } }));
    return { removals: keeping, placements, duplicates };
  }
}

/** On the disk. */
function mayHaveCopies(entry: Entry, row: Placed | undefined): boolean {
  return row === undefined ? entry.versions.length > 1 || entry.context.size > 1 : row.copies;
}

function impliedFolder(path: string, buried: readonly Dot[]): Wish {
  return { owner: path, value: { kind: 'directory', mode: IMPLIED_FOLDER_MODE }, dots: buried, copies: false, implied: true };
}

function isPlaceable(value: Value): value is FoundValue {
  return value.kind === 'file' || value.kind === 'symlink' || value.kind === 'directory';
}

function sameBytes(row: Placed, value: FoundValue): boolean {
  if (row.kind !== value.kind) return false;
  if (value.kind === 'file') return equalBytes(row.content!, value.content);
  return value.kind === 'directory' || equalBytes(row.target!, value.target);
}

function touchOf(path: string, row: Placed, value: FoundValue): Touch | undefined {
  if (value.kind === 'symlink') return undefined;
  const mtimeMs = value.kind === 'file' ? value.mtimeMs : undefined;
  if (row.stat.mode === value.mode && (mtimeMs === undefined || wholeMs(row.stat.mtimeMs) === mtimeMs)) return undefined;
  return { path, was: { kind: row.kind, stat: row.stat }, mode: value.mode, mtimeMs, row: undefined };
}

function sameShown(row: Placed, wish: Wish): boolean {
  if (row.owner !== wish.owner || row.copies !== wish.copies || row.dots.length !== wish.dots.length) return false;
  const shown = new Set(row.dots.map(({ replica, sequence }) => `${replica} ${sequence}`));
  return wish.dots.every(({ replica, sequence }) => shown.has(`${replica} ${sequence}`));
}
