/** Mutants of what is pure: clock, entries, chunks, pages, trees. Every host computes with these, so none may be a little wrong. */

const ENTRY_LAWS = ['test/entry/entry.test.ts'];

/** @type {readonly import('./mutant-list.mjs').Mutant[]} */
export const ENTRY_MUTANTS = [
  {
    name: 'merge-drops-a-dot',
    file: 'src/entry/entry.ts',
    breaks: 'a concurrent version is lost when two hosts meet',
    promise: '6 no version is lost',
    edits: [{ find: 'if (!covers(a.context, right!.dot)) {', put: 'if (!covers(a.context, right!.dot) && versions.length === 0) {' }],
    laws: ENTRY_LAWS,
  },
  {
    name: 'merge-keeps-the-replaced',
    file: 'src/entry/entry.ts',
    breaks: 'a version that was replaced comes back from a host that is behind',
    promise: '5 merge is a join',
    edits: [
      {
        find: 'if (covers(b.context, left!.dot)) changed = true;\n      else versions.push(left!);',
        put: 'versions.push(left!);',
      },
    ],
    laws: ENTRY_LAWS,
  },
  {
    name: 'newest-discards-the-others',
    file: 'src/entry/entry.ts',
    breaks: 'the wall clock decides which of two edits is lost',
    promise: '6 no version is lost',
    edits: [
      {
        find: '  const context = mergeContexts(a.context, b.context);\n  return !changed',
        put:
          '  if (versions.length > 1) {\n    versions.sort((x, y) => compareStamps(y.stamp, x.stamp));\n    versions.length = 1;\n' +
          '    changed = true;\n  }\n  const context = mergeContexts(a.context, b.context);\n  return !changed',
      },
    ],
    laws: ENTRY_LAWS,
  },
  {
    name: 'write-replaces-the-unseen',
    file: 'src/entry/entry.ts',
    breaks: 'an edit replaces conflict copies that its author never saw',
    promise: '6 no version is lost',
    edits: [{ find: 'const kept = without(entry?.versions ?? [], seen);', put: 'const kept: Version[] = seen.slice(0, 0) as never;' }],
    laws: ENTRY_LAWS,
  },
  {
    name: 'retire-takes-the-winner',
    file: 'src/entry/entry.ts',
    breaks: 'what is shown is retired with its conflict copy: nothing is left at the path',
    promise: '6 no version is lost',
    edits: [
      {
        find: 'versions.length === entry.versions.length || versions.length === 0 ? entry',
        put: 'versions.length === entry.versions.length ? entry',
      },
    ],
    laws: ENTRY_LAWS,
  },
  {
    name: 'context-forgotten',
    file: 'src/entry/entry-codec.ts',
    breaks: 'an entry forgets what it has seen, and a retired version comes back',
    promise: '5 merge is a join',
    edits: [{ find: 'entry.versions.length === 1 && entry.context.size === 1 &&', put: 'entry.versions.length === 1 &&' }],
    laws: ['test/entry/entry-codec.test.ts'],
  },
  {
    name: 'clock-goes-back',
    file: 'src/entry/clock.ts',
    breaks: 'a later edit has an older stamp than what it replaces, once the wall clock was set back',
    promise: '5 merge is a join',
    edits: [{ find: 'if (wallMs > high.wallMs) this.#high', put: 'if (wallMs !== high.wallMs) this.#high' }],
    laws: ['test/entry/clock.test.ts'],
  },
  {
    name: 'clock-observes-nothing',
    file: 'src/entry/clock.ts',
    breaks: 'an edit of a host whose clock is behind loses against the version that it replaced',
    promise: '5 merge is a join',
    edits: [{ find: 'if (compareStamps(remote, this.#high) > 0) this.#high = remote;', put: '' }],
    laws: ['test/entry/clock.test.ts'],
  },
  {
    name: 'cuts-by-what-has-arrived',
    file: 'src/content/chunker.ts',
    breaks: 'one file has another content on each host, by the way in which its bytes came',
    promise: '4 same entries, same root',
    edits: [
      { find: '(last && stop > start) ? stop : undefined', put: '(stop - start >= minBytes || (last && stop > start)) ? stop : undefined' },
    ],
    laws: ['test/content/chunker.test.ts'],
  },
  {
    name: 'list-page-ends-anywhere',
    file: 'src/content/content-list.ts',
    breaks: 'an edit near the beginning of a large file changes its whole list',
    promise: 'an edit costs what it changes',
    edits: [
      {
        find: 'return refs >= LIST_PAGE_REFS_MIN && refHash[3]! % BORDER_ONE_IN === 0;',
        put: 'return refs >= BORDER_ONE_IN && refHash.length > 0;',
      },
    ],
    laws: ['test/content/content-list.test.ts'],
  },
  {
    name: 'page-takes-padded-numbers',
    file: 'src/tree/page-codec.ts',
    breaks: 'one page has several encodings, so equal entries have unlike roots',
    promise: '4 same entries, same root',
    edits: [{ find: "if (byte === 0) throw badEncoding('a number in a page is padded');", put: '' }],
    laws: ['test/tree/page-codec.test.ts'],
  },
  {
    name: 'diff-skips-alike-pages',
    file: 'src/tree/page-codec.ts',
    breaks: 'two pages whose hashes begin alike are taken for equal, and the difference is never sent',
    promise: '9 all roots become equal',
    edits: [
      {
        find: 'return this.bytes.compare(page.bytes, page.bodyStart(other), page.end(other), this.bodyStart(item), this.end(item)) === 0;',
        put:
          'const [mine, theirs] = [this.bodyStart(item), page.bodyStart(other)];\n' +
          '    if (this.level === 0 || page.level === 0) return this.bytes.compare(page.bytes, theirs, page.end(other), mine, this.end(item)) === 0;\n' +
          '    return this.bytes.compare(page.bytes, theirs, theirs + 4, mine, mine + 4) === 0;',
      },
    ],
    laws: ['test/tree/diff.test.ts'],
  },
  {
    name: 'diff-takes-alike-tops',
    file: 'src/tree/diff.ts',
    breaks: 'two trees whose top pages begin alike are taken for equal',
    promise: '9 all roots become equal',
    edits: [{ find: 'asBuffer(a.page).equals(b.page)', put: 'asBuffer(a.page).subarray(0, 4).equals(b.page.subarray(0, 4))' }],
    laws: ['test/tree/diff.test.ts'],
  },
  {
    name: 'edit-takes-alike-tops',
    file: 'src/tree/edit.ts',
    breaks: 'an edit is dropped where the new top page begins like the old one',
    promise: '8 nothing committed is lost',
    edits: [
      {
        find: 'compareBytes(tree.page, edited.page) === 0',
        put: 'compareBytes(tree.page.subarray(0, 4), edited.page.subarray(0, 4)) === 0',
      },
    ],
    laws: ['test/tree/diff.test.ts'],
  },
  {
    name: 'border-forgotten-by-a-delete',
    file: 'src/tree/edit.ts',
    breaks: 'the shape of the tree remembers its history: equal entries, unlike roots',
    promise: '4 same entries, same root',
    edits: [
      {
        find: 'else this.#assembler.appendEntry(key, value, this.#ranker.rank(key))',
        put: 'else this.#assembler.appendEntry(key, value, rankOf(origin, rank, item))',
      },
    ],
    laws: ['test/tree/edit.test.ts'],
  },
  {
    name: 'settled-tombstone-taken-back',
    file: 'src/entry/stable-cut.ts',
    breaks: 'a tombstone that one host purged comes back from the next, for ever',
    promise: '9 all roots become equal',
    edits: [
      { find: 'current === undefined && isSettled(incoming, cut) ? undefined : merge(current, incoming)', put: 'merge(current, incoming)' },
    ],
    laws: ['test/entry/stable-cut.test.ts'],
  },
  {
    name: 'purge-takes-the-living',
    file: 'src/entry/stable-cut.ts',
    breaks: 'a version beside a tombstone is purged with it',
    promise: '6 no version is lost',
    edits: [
      {
        find: 'return entry.versions.every(({ value }) => !isLive(value));',
        put: 'return entry.versions.some(({ value }) => !isLive(value));',
      },
    ],
    laws: ['test/entry/stable-cut.test.ts', 'test/replica/tombstones.test.ts'],
  },
];
