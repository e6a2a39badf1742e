/**
 * What the people on the simulated hosts do, told to the model at the same moment. They see what is on the disk and
 * nothing else; whether a node runs there, and what it thinks, they do not know.
 *
 * Every file and record that they write begins with a number of its own, so what lies on a disk later tells which write
 * it was, and whether all of its bytes are there.
 */
import { assert } from '../base/assert.ts';
import { asBuffer, equalBytes, utf8 } from '../base/bytes.ts';
import { messageOf, SamerootError } from '../base/errors.ts';
import type { ConflictStatus } from '../node/answers.ts';
import type { Share } from '../replica/share.ts';
import { ContentNumbers } from './content-numbers.ts';
import type { Action } from './history.ts';
import { ownerOf, type Model, type ModelVersion } from './model.ts';
import type { SeededRandom } from './random.ts';
import { SHARED_FOLDER, type SimHost } from './sim-host.ts';
import type { Trace } from './trace.ts';
import type { SimFile } from './user-files.ts';

/** A number, ended by a line feed. */
const NUMBER = /^#(\d+)\n/;
const NUMBER_BYTES_MAX = 12;
/** Nothing has happened. */
const REFUSED: ReadonlySet<string> = new Set(['STALE_WRITE', 'NOT_FOUND', 'FILE_CHANGING']);
const OWN_FOLDER = `${SHARED_FOLDER}/.sameroot`;

export interface SharedItem {
  /** Below the shared folder. */
  readonly path: string;
  readonly file: SimFile;
}

/** A bit that has flipped. */
interface Rot {
  readonly path: string;
  /** What it has left. */
  readonly bytes: Uint8Array;
  /** Of the write that had made the file. */
  readonly number: number;
  readonly turnBack: () => void;
}

export class Users {
  readonly #model: Model;
  readonly #random: SeededRandom;
  readonly #trace: Trace;
  /** The bytes of every write, by its number. */
  readonly contents: Uint8Array[] = [];
  readonly numbers: ContentNumbers = new ContentNumbers(this.contents);
  /** What bits that flipped have left on a host: there, and only there, it stands for the bytes that were written. */
  readonly #rot = new Map<SimHost, Rot[]>();
  /** Numbers that users of a host have overwritten or removed there: that host need not hold them any more. */
  readonly #discarded = new Map<SimHost, Set<number>>();
  #names = 0;

  constructor(model: Model, random: SeededRandom, trace: Trace) {
    this.#model = model;
    this.#random = random;
    this.#trace = trace;
  }

  /** Everything in the shared folder but our own `.sameroot`. */
  items(host: SimHost): SharedItem[] {
    const items: SharedItem[] = [];
    for (const [path, file] of host.files.below(SHARED_FOLDER, (path) => path === OWN_FOLDER)) {
      items.push({ path: path.slice(SHARED_FOLDER.length + 1), file });
    }
    return items;
  }

  /** The model's value of what lies there; `undefined` for folders. `torn` says what is wrong with bytes that no write has. */
  valueOf(host: SimHost, file: SimFile): { readonly value: string | undefined; readonly torn: string | undefined } {
    if (file.kind === 'directory') return { value: undefined, torn: undefined };
    if (file.kind === 'symlink') return { value: `->${asBuffer(file.bytes).toString()}`, torn: undefined };
    const rotten = this.#rot.get(host)?.find(({ bytes }) => equalBytes(bytes, file.bytes));
    if (rotten !== undefined) return { value: `#${rotten.number}:${file.mode.toString(8)}`, torn: undefined };
    const number = numberOf(file.bytes);
    const whole = number === undefined ? undefined : this.contents[number];
    if (whole === undefined) return { value: undefined, torn: `${file.bytes.length} bytes that nobody wrote` };
    if (!equalBytes(whole, file.bytes))
      return { value: undefined, torn: `${file.bytes.length} of the ${whole.length} bytes of #${number}` };
    return { value: `#${number}:${file.mode.toString(8)}`, torn: undefined };
  }

  discardedOn(host: SimHost): ReadonlySet<number> {
    return this.#discarded.get(host) ?? new Set();
  }

  /** The same files on several hosts before any of them is started, as from one image. */
  plant(hosts: readonly SimHost[], path: string, bytes: number, mtimeMs: number): void {
    const content = this.#newContent(bytes);
    for (const host of hosts) {
      this.#makeParents(host, path);
      host.files.write(full(path), content, { mtimeMs, mode: 0o644 });
    }
    this.#model.write(`f/${path}`, `#${numberOf(content)}:644`, []);
  }

  /** Numbers of the versions that the disks of these hosts show. */
  shownOn(hosts: readonly SimHost[]): Set<number> {
    const numbers = new Set<number>();
    for (const host of hosts) {
      for (const { path, file } of this.items(host)) {
        const { value } = this.valueOf(host, file);
        const version = value === undefined ? undefined : this.#model.findShown(path, value);
        if (version !== undefined) numbers.add(version.number);
      }
    }
    return numbers;
  }

  /** False: it means nothing here, and nothing was done. */
  act(host: SimHost, action: Action): boolean {
    switch (action.type) {
      case 'write':
        return this.#write(host, action.path, this.#newContent(action.bytes), action.inPlace);
      case 'edit':
        return this.#edit(host, action.path, action.at, action.inPlace);
      case 'link':
        return this.#link(host, action.path);
      case 'mode':
        return this.#setMode(host, action.path, action.mode);
      case 'delete':
        return this.#delete(host, action.path);
      case 'rename':
        return this.#rename(host, action.path, action.to);
      case 'copy':
        return this.#copy(host, action.nth, action.how);
      case 'flip':
        return this.#flip(host, action.path);
      case 'put':
        return this.#put(host, action.path, action.bytes);
      case 'remove':
        return this.#put(host, action.path, undefined);
      default:
        return false;
    }
  }

  // --- files -----------------------------------------------------------------------------------------------------

  #write(host: SimHost, path: string, content: Uint8Array, inPlace: boolean, mode: number = 0o644): boolean {
    const there = this.#look(host, path);
    if (there === 'folder' || !this.#canHold(host, path)) return false;
    const keeps = inPlace && there?.file.kind === 'file';
    const kept = keeps ? there.file.mode : mode;
    this.#makeParents(host, path);
    host.files.write(full(path), content, { ...(keeps ? { inPlace: true } : { mode }), flushed: this.#random.chance(0.4) });
    this.#wrote(host, path, `#${numberOf(content)}:${kept.toString(8)}`, there);
    return true;
  }

  #edit(host: SimHost, path: string, at: number, inPlace: boolean): boolean {
    const there = this.#look(host, path);
    if (there === undefined || there === 'folder' || there.file.kind !== 'file') return false;
    return this.#write(host, path, this.#changedContent(there.file.bytes, at), inPlace, there.file.mode);
  }

  #link(host: SimHost, path: string): boolean {
    const there = this.#look(host, path);
    if (there === 'folder' || !this.#canHold(host, path)) return false;
    const target = `target-${++this.#names}`;
    this.#makeParents(host, path);
    if (there !== undefined) host.files.remove(full(path));
    host.files.symlink(utf8(target), full(path));
    this.#wrote(host, path, `->${target}`, there);
    return true;
  }

  #setMode(host: SimHost, path: string, mode: number): boolean {
    const there = this.#look(host, path);
    if (there === undefined || there === 'folder' || there.file.kind !== 'file' || there.file.mode === mode) return false;
    const value = `#${numberOf(there.file.bytes)}:${mode.toString(8)}`;
    // A change of `stat` makes a node read it again: bytes that have rotted would pass for an edit.
    if (this.#model.findShown(path, value) !== undefined || this.hasRot(host)) return false;
    host.files.chmod(full(path), mode);
    const version = this.#wrote(host, path, value, there);
    // A host that finds itself restored when it starts takes a mode for lost by the tool that restored, not for an edit.
    if (!host.running) this.#model.doubtWrite(version);
    return true;
  }

  #delete(host: SimHost, path: string): boolean {
    const there = this.#look(host, path);
    if (there === undefined || there === 'folder') return false;
    host.files.remove(full(path));
    this.#trace.tell(host.index, 'user', `deletes ${path} (${there.value})`);
    this.#discard(host, there);
    this.#tell(host, there.shown.key, undefined, [there.shown]);
    return true;
  }

  #rename(host: SimHost, path: string, to: string): boolean {
    const there = this.#look(host, path);
    if (there === undefined || there === 'folder' || path === to || !this.#canHold(host, to)) return false;
    // Under a new name it may be read again, and bytes that have rotted would pass for new ones.
    if (this.#isRotten(host, there.file)) return false;
    const target = this.#look(host, to);
    // A value that was at a key once can not be told from itself when it comes back.
    if (target === 'folder' || this.#model.findShown(to, there.value) !== undefined) return false;
    this.#makeParents(host, to);
    host.files.rename(full(path), full(to));
    this.#trace.tell(host.index, 'user', `renames ${path} (${there.value})`);
    this.#tell(host, there.shown.key, undefined, [there.shown]);
    this.#wrote(host, to, there.value, target);
    return true;
  }

  #copy(host: SimHost, nth: number, how: 'edit' | 'delete' | 'rename'): boolean {
    const copies = this.items(host)
      .map(({ path }) => path)
      .filter((path) => ownerOf(path) !== undefined)
      .sort();
    const path = copies[nth];
    if (path === undefined) return false;
    if (how === 'edit') return this.#edit(host, path, 0.5, false);
    return how === 'delete' ? this.#delete(host, path) : this.#rename(host, path, `kept${++this.#names}`);
  }

  /**
   * Only where another host shows the same bytes at the same path: what rots before anybody else has it is gone, with us or
   * without. At another path they are another version there, which may be written over in place.
   */
  #flip(host: SimHost, path: string): boolean {
    const there = this.#look(host, path);
    if (there === undefined || there === 'folder' || there.file.kind !== 'file' || !this.othersShow(host, path, there.value)) return false;
    // What was put there just now has not been read yet: bytes that rot before that pass for what the user put there.
    if (!this.hasRead(host, path, there.file)) return false;
    if (host.evicted || host.returning !== undefined) return false;
    const turnBack = host.disk.flipBit(full(path), this.#random);
    if (turnBack === undefined) return false;
    const { bytes } = host.files.get(full(path))!;
    this.#rot.set(host, [...(this.#rot.get(host) ?? []), { path, bytes, number: numberOf(there.file.bytes) ?? -1, turnBack }]);
    this.#trace.tell(host.index, 'rot', path);
    return true;
  }

  /**
   * After a death. A node that was about to replace a file has left a trace in its stat, and reads it again when it starts: bytes
   * that have rotted would pass for an edit, and nobody could tell. So they have not.
   */
  turnBackTouched(host: SimHost): void {
    for (const { path, bytes, turnBack } of this.#rot.get(host) ?? []) {
      const file = host.files.get(full(path));
      if (file?.kind !== 'file' || !equalBytes(file.bytes, bytes) || this.isAsPlaced(host, path)) continue;
      turnBack();
      this.#trace.tell(host.index, 'rot-turned-back', path);
    }
  }

  /** Set by the simulation: does another disk show this value at this path? */
  othersShow: (host: SimHost, path: string, value: string) => boolean = () => false;

  /** Set by the simulation: has the node read this file at this path? */
  hasRead: (host: SimHost, path: string, file: SimFile) => boolean = () => false;

  /** Set by the simulation: is what lies there what the node has noted, by its stat? */
  isAsPlaced: (host: SimHost, path: string) => boolean = () => true;

  /** What is there for a user to see; `folder` where it is one. */
  #look(host: SimHost, path: string): { file: SimFile; value: string; shown: ModelVersion } | 'folder' | undefined {
    const file = host.files.get(full(path));
    if (file === undefined) return undefined;
    if (file.kind === 'directory') return 'folder';
    const { value, torn } = this.valueOf(host, file);
    if (value === undefined) {
      this.onTorn(host, path, torn ?? '');
      return 'folder';
    }
    const shown = this.#model.findShown(path, value);
    if (shown === undefined) {
      this.onTorn(host, path, `shows ${value}, which was never written there`);
      return 'folder';
    }
    return { file, value, shown };
  }

  /** Told of bytes that nobody wrote. */
  onTorn: (host: SimHost, path: string, what: string) => void = () => undefined;

  #wrote(host: SimHost, path: string, value: string, before: { value: string; shown: ModelVersion } | undefined): ModelVersion {
    this.#trace.tell(host.index, 'user', `writes ${path} = ${value}${before === undefined ? '' : ` over ${before.value}`}`);
    // A new file at a conflict copy's name is a file of its own, and retires the version that was shown there.
    if (before !== undefined) this.#discard(host, before);
    return this.#tell(host, `f/${path}`, value, before === undefined ? [] : [before.shown]);
  }

  #tell(host: SimHost, key: string, value: string | undefined, seen: readonly ModelVersion[]): ModelVersion {
    const version = this.#model.write(key, value, seen);
    // What is done on a host that is out of the share, or not back yet, counts for nothing there: it may be set aside.
    if (host.evicted || host.returning !== undefined) this.#model.doubtWrite(version);
    return version;
  }

  #isRotten(host: SimHost, file: SimFile): boolean {
    return this.#rot.get(host)?.some(({ bytes }) => equalBytes(bytes, file.bytes)) === true;
  }

  hasRot(host: SimHost): boolean {
    return this.#rot.has(host);
  }

  #discard(host: SimHost, { value }: { value: string }): void {
    const numbers = this.#discarded.get(host) ?? new Set();
    this.#discarded.set(host, numbers.add(Number(/\d+/.exec(value)?.[0] ?? -1)));
  }

  /** No parent is a file or a link. */
  #canHold(host: SimHost, path: string): boolean {
    for (let slash = path.indexOf('/'); slash > 0; slash = path.indexOf('/', slash + 1)) {
      const kind = host.files.get(full(path.slice(0, slash)))?.kind;
      if (kind !== undefined && kind !== 'directory') return false;
    }
    return true;
  }

  #makeParents(host: SimHost, path: string): void {
    const slash = path.lastIndexOf('/');
    if (slash > 0) host.files.mkdir(full(path.slice(0, slash)));
  }

  // --- records ---------------------------------------------------------------------------------------------------

  /** Reads, then writes with the tag that was read: `undefined` removes. */
  #put(host: SimHost, key: string, bytes: number | undefined): boolean {
    const { node } = host;
    if (node === undefined) return false;
    void this.#putNow(host, key, bytes === undefined ? undefined : this.#newContent(bytes)).catch((error: unknown) =>
      this.#trace.tell(host.index, 'put-error', messageOf(error)),
    );
    return true;
  }

  async #putNow(host: SimHost, key: string, content: Uint8Array | undefined): Promise<void> {
    const { node } = host;
    assert(node !== undefined, 'only asked of a running node');
    const before = await node.getRecord(key);
    if (host.node !== node || (content === undefined && before === undefined)) return;
    const seen = before === undefined ? [] : [before.value, ...before.siblings].map((bytes) => this.recordVersion(key, bytes));
    const value = content === undefined ? undefined : `#${numberOf(content)}`;
    const version = this.#tell(
      host,
      `r/${key}`,
      value,
      seen.filter((found) => found !== undefined),
    );
    version.certain = false;
    // Also where its host dies before it answers.
    if (before === undefined) this.#model.wasBlind(version);
    this.#trace.tell(
      host.index,
      'user',
      `puts ${key} = ${value ?? 'nothing'} over ${before === undefined ? 'nothing' : seen.map((found) => found?.value).join(' ')}`,
    );
    try {
      if (content === undefined) await node.deleteRecord(key, before!.etag);
      else await node.putRecord(key, content, before?.etag);
      version.certain = !version.disowned;
      if (before === undefined) this.#model.wasBlind(version);
    } catch (error) {
      // After any other error it may turn up all the same.
      if (error instanceof SamerootError && error.code === 'STALE_WRITE') this.#model.forget(version);
      throw error;
    }
  }

  // --- conflicts -------------------------------------------------------------------------------------------------

  /** Keeps one version of the nth conflict that the node lists, as a person would who has looked at all of them. */
  async resolve(host: SimHost, share: Share, nth: number, keep: number): Promise<void> {
    const { node } = host;
    const conflict = node?.conflicts({ after: undefined, limit: 100 }).items[nth];
    if (node === undefined || conflict === undefined || !conflict.key.startsWith('f/')) return;
    const versions = this.#versionsOf(conflict, share);
    const kept = versions[keep % versions.length];
    if (kept === undefined || versions.includes(undefined)) return;
    const seen = versions.filter((version) => version !== undefined);
    this.#trace.tell(host.index, 'user', `keeps ${kept.value} of ${conflict.key}`);
    // Until it is known to have happened, any of them may be gone, and the one that is kept may be there anew.
    const again = this.#tell(host, conflict.key, kept.value, []);
    const unsure = this.#model.doubt(conflict.key, [...seen, again]);
    try {
      await node.resolveConflict(conflict.key, conflict.versions[keep % versions.length]!.name, conflict.etag);
      this.#model.settle(unsure);
      this.#model.replace(again, seen);
    } catch (error) {
      if (error instanceof SamerootError && REFUSED.has(error.code)) {
        this.#model.settle(unsure);
        this.#model.forget(again);
      }
      throw error;
    }
  }

  #versionsOf({ key, versions }: ConflictStatus, share: Share): (ModelVersion | undefined)[] {
    return versions.map(({ content, mode }) => {
      const number = content === undefined ? undefined : this.numbers.numberOf(content, share);
      return number === undefined ? undefined : this.#model.find(key, `#${number}:${mode}`);
    });
  }

  recordVersion(key: string, bytes: Uint8Array): ModelVersion | undefined {
    return this.#model.find(`r/${key}`, `#${numberOf(bytes)}`);
  }

  isWhole(bytes: Uint8Array): boolean {
    const number = numberOf(bytes);
    const whole = number === undefined ? undefined : this.contents[number];
    return whole !== undefined && equalBytes(whole, bytes);
  }

  // --- bytes -----------------------------------------------------------------------------------------------------

  #newContent(bytes: number): Uint8Array {
    return this.#numbered(this.#random.bytes(Math.max(0, bytes - NUMBER_BYTES_MAX)));
  }

  /** The same bytes with some of them changed: most chunks of a large file stay. */
  #changedContent(before: Uint8Array, at: number): Uint8Array {
    const body = Uint8Array.from(before.subarray(before.indexOf(10) + 1));
    const patch = this.#random.bytes(Math.min(body.length, 40));
    body.set(patch, Math.floor((body.length - patch.length) * Math.min(Math.max(at, 0), 1)));
    return this.#numbered(body);
  }

  #numbered(body: Uint8Array): Uint8Array {
    const content = Buffer.concat([utf8(`#${this.contents.length}\n`), body]);
    this.contents.push(content);
    return content;
  }
}

/** Of the write with these bytes; undefined if no write begins like that. */
export function numberOf(bytes: Uint8Array): number | undefined {
  const match = NUMBER.exec(asBuffer(bytes.subarray(0, NUMBER_BYTES_MAX)).toString('latin1'));
  return match === null ? undefined : Number(match[1]);
}

function full(path: string): string {
  return `${SHARED_FOLDER}/${path}`;
}
