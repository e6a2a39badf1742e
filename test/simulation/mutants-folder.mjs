/** Mutants of the disk side: what counts as an edit, what may be overwritten, what is flushed before what. */

const INGEST_LAWS = ['test/folder/ingest.test.ts'];
const MATERIALISE_LAWS = ['test/folder/materialise.test.ts'];
const STAGING_LAWS = ['test/folder/staging.test.ts'];

/** @type {readonly import('./mutant-list.mjs').Mutant[]} */
export const FOLDER_MUTANTS = [
  {
    name: 'empty-folder-taken',
    file: 'src/folder/marker.ts',
    breaks: 'a disk that is not mounted looks like a folder where all was deleted',
    promise: 'a lost disk deletes nothing',
    edits: [
      {
        find: "    throw new SamerootError('FOLDER_MISSING', `${root} is not there, or has lost its ${MARKER}: ${messageOf(error)}`, { cause: error });",
        put: '    if (messageOf(error) !== undefined) return;',
      },
    ],
    laws: INGEST_LAWS,
  },
  {
    name: 'mass-delete-not-held',
    file: 'src/folder/delete-guard.ts',
    breaks: 'a lost disk or a slip of the hand deletes everything everywhere',
    promise: 'a lost disk deletes nothing',
    edits: [{ find: "return { kind: 'limited', max: this.#held > 0 ? 0 : allowed };", put: "return { kind: 'limited', max: Infinity };" }],
    laws: INGEST_LAWS,
  },
  {
    name: 'birth-at-a-known-key',
    file: 'src/folder/ingest-commit.ts',
    breaks: 'a file that was deleted can not be put back: its write is one that the tombstone has seen',
    promise: '6 no version is lost',
    edits: [
      { find: 'import { birth, write, retire,', put: 'import { birth, merge, write, retire,' },
      {
        find: '  if (current === undefined && author.births) {\n    const entry = birth(key, value);',
        put: '  if (shown === undefined && author.births) {\n    const entry = merge(current, birth(key, value));',
      },
      { find: 'compareStamps(stamp, author.stamp()) < 0);', put: 'compareStamps(stamp, author.stamp()) < 0 || current !== undefined);' },
    ],
    laws: INGEST_LAWS,
  },
  {
    name: 'edit-replaces-what-was-not-shown',
    file: 'src/folder/ingest-commit.ts',
    breaks: 'an edit of a file replaces a version that came meanwhile and that its author never saw',
    promise: '6 no version is lost',
    edits: [
      {
        find: 'write(current, shown?.dots ?? (current === undefined ? [] : buriedDots(current)), dot,',
        put: 'write(current, current?.versions.map((version) => version.dot) ?? [], dot,',
      },
    ],
    laws: INGEST_LAWS,
  },
  {
    name: 'delete-takes-what-was-not-shown',
    file: 'src/folder/ingest-commit.ts',
    breaks: 'a delete takes an edit with it that came meanwhile from another host',
    promise: '6 no version is lost',
    edits: [
      {
        find: "return write(current, placed.dots, author.dot(), author.stamp(), { kind: 'deleted' });",
        put: "return write(current, current.versions.map(({ dot }) => dot), author.dot(), author.stamp(), { kind: 'deleted' });",
      },
    ],
    laws: INGEST_LAWS,
  },
  {
    name: 'copy-deleted-winner-gone',
    file: 'src/folder/ingest-commit.ts',
    breaks: 'to delete a conflict copy deletes the winner',
    promise: '6 no version is lost',
    edits: [{ find: 'current : retire(current, placed.dots)),', put: 'current : retire(current, view(current).winner?.dots ?? [])),' }],
    laws: INGEST_LAWS,
  },
  {
    name: 'taken-in-without-a-second-look',
    file: 'src/folder/ingest-commit.ts',
    breaks: 'what this host is just showing is taken for an edit, or its placed row for that of another version',
    promise: '6 no version is lost',
    edits: [{ find: 'if (row === undefined || rowNow === undefined ? row !== rowNow : !equalBytes(row, rowNow)) return false;', put: '' }],
    laws: INGEST_LAWS,
  },
  {
    name: 'rename-by-inode-alone',
    file: 'src/folder/ingest-pass.ts',
    breaks: 'a new file that got the inode of a removed one is taken for it: its bytes are never read',
    promise: '6 no version is lost',
    edits: [
      { find: '(placed.stat.bytes === found.stat.bytes && placed.stat.mtimeMs === found.stat.mtimeMs);', put: 'placed.stat.bytes > 0;' },
    ],
    laws: INGEST_LAWS,
  },
  {
    name: 'local-edit-overwritten',
    file: 'src/folder/found-there.ts',
    breaks: 'a version from a peer is put over an edit that was not taken in yet',
    promise: '6 no version is lost',
    edits: [
      {
        find: "return kind === 'directory' ? now.mode === stat.mode : sameStat(now, stat);",
        put: "return kind !== 'directory' || now.mode === stat.mode;",
      },
    ],
    laws: MATERIALISE_LAWS,
  },
  {
    name: 'stranger-adopted',
    file: 'src/folder/found-there.ts',
    breaks: 'a file that the user made is taken for the version that was to be shown there, if it is as long',
    promise: '6 no version is lost',
    edits: [{ find: "return bytes !== undefined && toHex(hash('chunk', bytes)) === want.chunk;", put: 'return bytes !== undefined;' }],
    laws: MATERIALISE_LAWS,
  },
  {
    name: 'tick-of-the-clock-trusted',
    file: 'src/folder/file-hash.ts',
    breaks: 'a file that is changed twice within a tick of the clock that stamps files: the second change is never seen',
    promise: '6 no version is lost',
    edits: [{ find: 'if (Math.abs(ageMs) > TICK_MS_MAX) return', put: 'if (Math.abs(ageMs) >= 0) return' }],
    laws: ['test/folder/file-hash.test.ts'],
  },
  {
    name: 'edit-not-flushed',
    file: 'src/folder/ingest-commit.ts',
    breaks: 'after a power failure the half that is left of a file is sent to everybody as an edit',
    promise: '3 a root covers what is held',
    edits: [{ find: 'await this.#makeDurable(items);', put: '' }],
    laws: INGEST_LAWS,
  },
  {
    name: 'names-not-flushed',
    file: 'src/folder/materialise.ts',
    breaks: 'after a power failure a file that was shown is not there: a delete by the user, as it seems',
    promise: '8 nothing committed is lost',
    edits: [{ find: 'await access.makeDurable(root, [], result.touched);', put: 'await access.makeDurable(root, [], []);' }],
    laws: MATERIALISE_LAWS,
  },
  {
    name: 'batch-not-noted',
    file: 'src/folder/place-job.ts',
    breaks: 'what was shown when the host died, and deleted before it ran again, is brought back',
    promise: '8 nothing is resurrected',
    edits: [
      {
        find: 'inTheWay ?? failureOf(() => writeNotes(this.#disk, tmp, { batch: name, notes: notes.filter((note) => note !== undefined) }));',
        put: 'inTheWay;',
      },
    ],
    laws: ['test/folder/interrupted.test.ts'],
  },
  {
    name: 'old-notes-kept',
    file: 'src/folder/place-job.ts',
    breaks: 'what nobody has seen counts as shown, and so as deleted, where notes could not be taken back',
    promise: '6 no version is lost',
    edits: [{ find: 'const inTheWay = failureOf(() => forgetNotes(this.#disk, tmp));', put: 'const inTheWay = undefined;' }],
    laws: ['test/folder/failed-batch.test.ts'],
  },
  {
    name: 'change-in-place-not-noted',
    file: 'src/folder/place-job.ts',
    breaks: 'a mode that was shown when the host died comes back beside the edit of a user who saw it',
    promise: '8 nothing is resurrected',
    edits: [{ find: 'row !== undefined && this.#parents.check(path) === undefined', put: 'path.length === 0' }],
    laws: ['test/folder/interrupted.test.ts'],
  },
  {
    name: 'copy-taken-unannounced',
    file: 'src/folder/materialise.ts',
    breaks: 'a conflict copy that was taking the name of the winner when the host died counts as removed by a user',
    promise: '6 no version is lost',
    edits: [{ find: 'await this.#begun.begin(removals.filter(({ mayBeGone }) => !mayBeGone).map(({ path }) => path));', put: '' }],
    laws: ['test/folder/killed-twice.test.ts'],
  },
  {
    name: 'staging-tidied-first',
    file: 'src/folder/folder.ts',
    breaks: 'what was shown when the host died, and deleted before it ran again, is brought back',
    promise: '8 nothing is resurrected',
    edits: [
      { find: 'await recordInterrupted({ root, replica, access, writeThread });', put: '' },
      {
        find: 'return new Folder(options, staging);',
        put: 'await recordInterrupted({ root, replica, access, writeThread }); return new Folder(options, staging);',
      },
    ],
    laws: ['test/folder/killed-twice.test.ts'],
  },
  {
    name: 'copy-not-recognised',
    file: 'src/folder/ingest-commit.ts',
    breaks: 'a large conflict copy whose note was lost in a death becomes a file of its own',
    promise: '8 nothing is resurrected',
    edits: [{ find: 'if (copy.isShown()) return current;', put: '' }],
    laws: ['test/folder/killed-twice.test.ts'],
  },
  {
    name: 'trash-not-compared',
    file: 'src/folder/folder.ts',
    breaks: 'what a host moved to the trash when it died is found by nobody, and hosts wait for its bytes for ever',
    promise: '9 all roots become equal',
    edits: [{ find: 'await this.#trashIndex.run();', put: '' }],
    laws: ['test/folder/killed-twice.test.ts'],
  },
  {
    name: 'debt-forgotten',
    file: 'src/folder/gate.ts',
    breaks: 'what was shown and could not be recorded is edited: the edit counts as one of what was there before',
    promise: '8 nothing is resurrected',
    edits: [{ find: 'await this.#settle();', put: '' }],
    laws: ['test/folder/gate.test.ts'],
  },
  {
    name: 'todo-row-goes-too-early',
    file: 'src/folder/materialise.ts',
    breaks: 'an entry that came while an older one was being shown is forgotten by a crash',
    promise: '8 nothing committed is lost',
    edits: [{ find: 'unchanged = current !== undefined && equalEntries(current, entry);', put: 'unchanged = current !== undefined;' }],
    laws: MATERIALISE_LAWS,
  },
  {
    name: 'staged-not-flushed',
    file: 'src/folder/staging.ts',
    breaks: 'a file is renamed to its path before its bytes are on disk: after a power failure it is empty',
    promise: '3 a root covers what is held',
    edits: [
      {
        find: 'await this.#options.access.makeDurable(this.#options.root, files, [STAGING]);',
        put: 'await this.#options.access.makeDurable(this.#options.root, [], [STAGING]);',
      },
    ],
    laws: STAGING_LAWS,
  },
  {
    name: 'gone-counts-as-written',
    file: 'src/folder/staging.ts',
    breaks: 'bytes that have gone from staging are never asked for again: their version does not come',
    promise: '9 all roots become equal',
    edits: [{ find: 'for (const name of [...whole, ...parts]) this.#forget(name);', put: '' }],
    laws: STAGING_LAWS,
  },
  {
    name: 'chunk-not-verified',
    file: 'src/folder/stage-jobs.ts',
    breaks: 'bytes of a peer are stored under a hash that they do not have',
    promise: '1 nothing under a false hash',
    edits: [{ find: "equalBytes(hash('chunk', bytes), expected);", put: 'expected.length > 0;' }],
    laws: STAGING_LAWS,
  },
  {
    name: 'chunk-of-a-part-not-verified',
    file: 'src/folder/stage-jobs.ts',
    breaks: 'bytes of a peer are put into a large file without a look at their hash',
    promise: '1 nothing under a false hash',
    edits: [{ find: "equalBytes(hash('chunk', chunk), hashAt(input, index));", put: 'hashAt(input, index).length > 0;' }],
    laws: STAGING_LAWS,
  },
  {
    name: 'copied-chunk-not-verified',
    file: 'src/folder/stage-jobs.ts',
    breaks: 'bytes of a file that has changed since are taken for those that it had',
    promise: '1 nothing under a false hash',
    edits: [{ find: "if (!equalBytes(hash('chunk', chunk), expected)) return false;", put: '' }],
    laws: STAGING_LAWS,
  },
  {
    name: 'staged-file-trusted-after-a-crash',
    file: 'src/folder/stage-jobs.ts',
    breaks: 'what a power failure left of a small file counts as the whole',
    promise: '3 a root covers what is held',
    edits: [
      {
        find: "if (bytes !== undefined && toHex(hash('chunk', bytes)) === name) return true;",
        put: 'if (bytes !== undefined) return true;',
      },
    ],
    laws: STAGING_LAWS,
  },
  {
    name: 'part-trusted-after-a-crash',
    file: 'src/folder/stage-jobs.ts',
    breaks: 'what a power failure left of a large file counts as fetched',
    promise: '3 a root covers what is held',
    edits: [
      {
        find: 'results.push(read === wanted && equalBytes(hashOfMaybeZeros(scratch.subarray(0, wanted)), hashAt(input, index)));',
        put: 'results.push(read === wanted);',
      },
    ],
    laws: STAGING_LAWS,
  },
  {
    name: 'gate-always-open',
    file: 'src/folder/gate.ts',
    breaks: 'a path is taken in while it is being shown: half of a change of ours is taken for an edit',
    promise: '6 no version is lost',
    edits: [{ find: 'const result = this.#last.then(settled)', put: 'const result = Promise.resolve().then(settled)' }],
    laws: ['test/folder/gate.test.ts'],
  },
];
