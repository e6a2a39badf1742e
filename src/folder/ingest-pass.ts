/**
 * One pass over the folder, or over some paths of it: compare, recognise renames, hash what is new, take it in.
 *
 * - A file that appears with the inode, size and times of a row whose path is gone or has become another file is that
 *   file, renamed: it takes the row's content unread. Deletes and renames of a pass go into one commit, so that
 *   other hosts can rename too.
 * - Too many deletes in one pass are held: nothing of them is committed until somebody has answered.
 * - Memory is bounded: what is new is taken in whenever much of it has come together, and of deletes only so many are
 *   kept; where more are allowed, a second pass takes them in as it meets them.
 */
import type { Clock } from '../base/world.ts';
import { MIB } from '../base/limits.ts';
import { fileValue, type FileHasher, type FoundOutcome } from './file-hasher.ts';
import type { IgnoreRules } from './ignore.ts';
import type { IngestCommitter, Settled } from './ingest-commit.ts';
import type { Problems } from './problems.ts';
import type { Finding, Scanner } from './scan.ts';

const GROUP_FILES = 2000;
const GROUP_MS = 100;
/** A pass up to this size goes into one commit. */
const WHOLE_PASS_KEYS = 10_000;
const WHOLE_PASS_BYTES: number = 64 * MIB;
/** New and changed paths that wait to be compared with all that is gone. */
const FRESH_KEPT_MAX = 50_000;
const GONE_KEPT_MAX = 100_000;

/** What becomes of paths that are gone: deleted up to a limit, deleted as they are met, or brought back. */
export type DeleteRule =
  | { readonly kind: 'limited'; readonly max: number }
  | { readonly kind: 'apply' }
  | { readonly kind: 'restore'; readonly restore: (gone: readonly Finding[]) => Promise<void> };

export interface PassOptions {
  readonly scanner: Scanner;
  readonly hasher: FileHasher;
  readonly committer: IngestCommitter;
  readonly problems: Problems;
  readonly clock: Clock;
  /** @throws if the folder is not there any more */
  readonly checkFolder: () => Promise<void>;
  readonly onSeen: (paths: number) => void;
  /** A folder that the table does not know. */
  readonly onFolder: (path: string) => void;
}

export interface PassRequest {
  readonly scopes: readonly string[] | undefined;
  readonly rules: IgnoreRules;
  readonly deletes: DeleteRule;
  /** Nothing can have been renamed: there is no table yet. */
  readonly first: boolean;
  /** This path is still being written to; leave it for later. */
  readonly isRestless: (path: string) => boolean;
}

export interface PassResult {
  /** Paths to look at again. */
  readonly again: readonly string[];
  /** Paths that are gone and were not taken in, as they are too many. */
  readonly held: number;
  /** More are gone than were kept: they are allowed, but another pass has to take them in. */
  readonly deletesLeft: boolean;
  readonly gone: number;
  readonly taken: number;
}

/** A file that was renamed; `moved`: its old path, if nothing else is there now. */
interface Renamed {
  readonly item: Settled;
  readonly moved: Finding | undefined;
}

export class IngestPass {
  readonly #options: PassOptions;
  readonly #request: PassRequest;
  readonly #writer: GroupWriter;
  readonly #again: string[] = [];
  #fresh: Finding[] = [];
  readonly #gone = new Map<string, Finding>();
  #goneCount = 0;
  /** Rows whose file is not at their path any more, by inode. */
  readonly #movable = new Map<number, Finding>();
  #moved: Finding[] = [];

  constructor(options: PassOptions, request: PassRequest) {
    this.#options = options;
    this.#request = request;
    this.#writer = new GroupWriter(options.committer, options.clock);
  }

  async run(): Promise<PassResult> {
    const { scanner, problems, onSeen } = this.#options;
    const { scopes, rules, first } = this.#request;
    problems.begin();
    for await (const batch of scanner.scan(scopes, rules)) {
      for (const problem of batch.problems) problems.add(problem);
      for (const finding of batch.findings) this.#note(finding);
      if (this.#fresh.length >= (first ? GROUP_FILES : FRESH_KEPT_MAX)) {
        for (const { item } of this.#takeRenamed()) await this.#writer.add(item);
        await this.#takeInFresh();
      }
      if (this.#request.deletes.kind !== 'limited' && this.#gone.size >= WHOLE_PASS_KEYS) await this.#takeOutGone([]);
      onSeen(batch.seen);
    }
    const bytes = this.#fresh.reduce((sum, { found }) => sum + (found?.kind === 'file' ? found.stat.bytes : 0), 0);
    const whole = this.#fresh.length + this.#gone.size <= WHOLE_PASS_KEYS && bytes <= WHOLE_PASS_BYTES;
    const { held, deletesLeft } = await this.#takeOutGone(this.#takeRenamed());
    if (!whole) await this.#writer.flush();
    this.#writer.whole = whole;
    await this.#takeInFresh();
    this.#again.push(...(await this.#writer.finish()));
    problems.end(scopes);
    return { again: this.#again, held, deletesLeft, gone: this.#goneCount, taken: this.#writer.taken };
  }

  #note(finding: Finding): void {
    const { found, placed, path } = finding;
    if (this.#request.isRestless(path)) return;
    if (found === undefined) {
      this.#goneCount++;
      if (this.#gone.size < GONE_KEPT_MAX) this.#gone.set(path, finding);
    } else {
      if (found.kind === 'directory' && placed?.kind !== 'directory') this.#options.onFolder(path);
      this.#fresh.push(finding);
    }
    const leftItsPath = placed !== undefined && placed.stat.inode !== found?.stat.inode;
    if (leftItsPath && this.#movable.size < GONE_KEPT_MAX) this.#movable.set(placed.stat.inode, finding);
  }

  /** Takes the renamed files out of what is new, and their old paths out of what counts as deleted. */
  #takeRenamed(): Renamed[] {
    const renamed: Renamed[] = [];
    const rest: Finding[] = [];
    for (const finding of this.#fresh) {
      const source = this.#sourceOf(finding);
      const moved = source !== undefined && this.#gone.delete(source.path) ? source : undefined;
      if (moved !== undefined) this.#goneCount--;
      const content = source?.placed?.content;
      const stat = finding.found!.stat;
      if (content !== undefined)
        renamed.push({ item: { state: 'found', finding, stat, value: fileValue(stat, content), rows: [], renamed: true }, moved });
      else rest.push(finding);
      if (moved !== undefined) this.#moved.push(moved);
    }
    this.#fresh = rest;
    return renamed;
  }

  #sourceOf({ found, path }: Finding): Finding | undefined {
    if (found === undefined) return undefined;
    const source = this.#movable.get(found.stat.inode);
    const placed = source?.placed;
    if (placed === undefined || source!.path === path || placed.kind !== found.kind) return undefined;
    // An inode that is used again looks the same after `rm` and a copy that keeps times: only its birth is new. A
    // renamed file was born before its row was written; without a birth to compare, it is read.
    if (found.birthMs <= 0 || found.birthMs > placed.stat.ctimeMs) return undefined;
    // A folder's size and times change with its content.
    const same = found.kind === 'directory' || (placed.stat.bytes === found.stat.bytes && placed.stat.mtimeMs === found.stat.mtimeMs);
    return same ? source : undefined;
  }

  /** Deletes and renames: a renamed file next to its old path, in one commit if they are not too many. */
  async #takeOutGone(renamed: readonly Renamed[]): Promise<{ held: number; deletesLeft: boolean }> {
    const { deletes } = this.#request;
    const moved = this.#moved;
    let gone = [...this.#gone.values()];
    this.#moved = [];
    this.#gone.clear();
    let held = 0;
    let deletesLeft = false;
    if (deletes.kind === 'limited') {
      if (this.#goneCount > deletes.max) {
        // Paths that are being taken away just now, because a peer deleted them, are no deletes of this folder.
        const still = new Set(await this.#options.committer.stillGone(gone));
        this.#again.push(...gone.filter((finding) => !still.has(finding)).map(({ path }) => path));
        this.#goneCount -= gone.length - still.size;
        gone = [...still];
        if (this.#goneCount > deletes.max) held = this.#goneCount;
      }
      deletesLeft = held === 0 && this.#goneCount > gone.length;
      if (held > 0 || deletesLeft) gone = [];
    }
    if (gone.length + moved.length > 0) await this.#options.checkFolder();
    if (deletes.kind === 'restore') {
      if (gone.length > 0) await deletes.restore(gone);
      gone = [];
    }
    this.#writer.whole = gone.length + moved.length + renamed.length <= WHOLE_PASS_KEYS;
    const paired = new Set(renamed.map((pair) => pair.moved));
    for (const { item, moved: source } of renamed) {
      if (source !== undefined) await this.#writer.add({ state: 'gone', finding: source });
      await this.#writer.add(item);
    }
    for (const finding of [...moved, ...gone]) if (!paired.has(finding)) await this.#writer.add({ state: 'gone', finding });
    return { held, deletesLeft };
  }

  async #takeInFresh(): Promise<void> {
    const fresh = this.#fresh;
    this.#fresh = [];
    const toExamine: Finding[] = [];
    for (const finding of fresh) {
      const { found } = finding;
      if (found?.kind !== 'directory') toExamine.push(finding);
      else
        await this.#writer.add({
          state: 'found',
          finding,
          stat: found.stat,
          value: { kind: 'directory', mode: found.stat.mode },
          rows: [],
        } satisfies FoundOutcome);
    }
    for await (const outcomes of this.#options.hasher.examine(toExamine)) {
      for (const outcome of outcomes) {
        const { path } = outcome.finding;
        if (outcome.state === 'found') await this.#writer.add(outcome);
        else if (outcome.state === 'problem') this.#options.problems.add({ path, code: outcome.code, message: outcome.message });
        else {
          if (outcome.state === 'changing')
            this.#options.problems.add({ path, code: 'FILE_CHANGING', message: 'the file changed while it was read' });
          this.#again.push(path);
        }
      }
    }
  }
}

/** Commits what comes in groups; the next group fills while one is being committed. */
class GroupWriter {
  readonly #committer: IngestCommitter;
  readonly #clock: Clock;
  /** All of it belongs into one commit. */
  whole = false;
  taken = 0;
  #group: Settled[] = [];
  #startMs = 0;
  #running: Promise<string[]> = Promise.resolve([]);
  readonly #again: string[] = [];

  constructor(committer: IngestCommitter, clock: Clock) {
    this.#committer = committer;
    this.#clock = clock;
  }

  async add(item: Settled): Promise<void> {
    if (this.#group.length === 0) this.#startMs = this.#clock.monotonicMs();
    this.#group.push(item);
    if (this.whole) return;
    if (this.#group.length >= GROUP_FILES || this.#clock.monotonicMs() - this.#startMs >= GROUP_MS) await this.flush();
  }

  /** Resolves to the paths to look at again. */
  async finish(): Promise<readonly string[]> {
    await this.flush();
    this.#again.push(...(await this.#running));
    return this.#again;
  }

  async flush(): Promise<void> {
    this.#again.push(...(await this.#running));
    const group = this.#group;
    this.#group = [];
    this.taken += group.length;
    this.#running = group.length === 0 ? Promise.resolve([]) : this.#committer.commit(group);
    // Its error is taken when the next group is ready; until then nobody waits for it.
    this.#running.catch(() => undefined);
  }
}
