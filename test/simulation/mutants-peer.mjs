/** Mutants of what is between hosts: sessions, walks, what is acknowledged and when. */

const SESSION_LAWS = ['test/session/session.test.ts', 'test/session/streams.test.ts'];

/** @type {readonly import('./mutant-list.mjs').Mutant[]} */
export const PEER_MUTANTS = [
  {
    name: 'acknowledged-on-arrival',
    file: 'src/session/session.ts',
    breaks: 'a host confirms what it may lose in a crash',
    promise: 'confirmed means held',
    edits: [
      {
        find: 'if (message.root !== undefined) this.#peerIsAt(message.root);\n  }',
        put: "if (message.root === undefined) return;\n    this.#send({ type: 'ack', root: message.root });\n    this.#peerIsAt(message.root);\n  }",
      },
    ],
    laws: SESSION_LAWS,
  },
  {
    name: 'failed-offer-acknowledged',
    file: 'src/session/streams.ts',
    breaks: 'a host confirms entries that it could not take over',
    promise: 'confirmed means held',
    edits: [{ find: 'if (failed) stream.failed = true;', put: '' }],
    laws: SESSION_LAWS,
  },
  {
    name: 'acknowledged-out-of-turn',
    file: 'src/session/streams.ts',
    breaks: 'a stream counts as contained although one before it is not',
    promise: 'confirmed means held',
    edits: [
      {
        find: 'first?.root !== undefined && first.parts === 0;',
        put: 'first?.root !== undefined && (first.parts === 0 || stream.parts === 0);',
      },
    ],
    laws: SESSION_LAWS,
  },
  {
    name: 'cursor-before-landing',
    file: 'src/session/session.ts',
    breaks: 'after a crash a host says that it contains what it never committed',
    promise: '9 all roots become equal',
    edits: [
      {
        find: 'if (message.root !== undefined) this.#peerIsAt(message.root);\n  }',
        put: 'if (message.root === undefined) return;\n    this.#peerIsAt(message.root);\n    this.#containsNow(message.root, this.#arrivals);\n  }',
      },
    ],
    laws: SESSION_LAWS,
  },
  {
    name: 'roots-compared-in-part',
    file: 'src/session/session.ts',
    breaks: 'two hosts that differ take themselves for equal, for ever',
    promise: '9 all roots become equal',
    edits: [
      { find: 'return equalBytes(this.#peerRoot, this.#head.root);', put: 'return (this.#peerRoot[0]! ^ this.#head.root[0]!) < 16;' },
    ],
    laws: SESSION_LAWS,
  },
  {
    name: 'unlike-roots-never-walked',
    file: 'src/session/session.ts',
    breaks: 'hosts that differ after a failure stay so',
    promise: '9 all roots become equal',
    edits: [{ find: 'if (this.#staleAtMs > this.#nowMs) return;', put: 'if (this.#staleAtMs > 0) return;' }],
    laws: SESSION_LAWS,
  },
  {
    name: 'walk-compares-in-part',
    file: 'src/wire/walk-digest.ts',
    breaks: 'a walk takes a page for equal that differs, and never finds the difference',
    promise: '9 all roots become equal',
    edits: [
      {
        find: 'return compareBytes(hash.subarray(0, digest.length), digest) === 0;',
        put: 'return compareBytes(hash.subarray(0, 1), digest.subarray(0, 1)) === 0;',
      },
    ],
    laws: ['test/session/reconcile.test.ts'],
  },
  {
    name: 'walks-all-short',
    file: 'src/wire/walk-digest.ts',
    breaks: 'what a walk did not see, because two hashes begin alike, no later walk sees',
    promise: '9 all roots become equal',
    edits: [
      {
        find: 'return Math.min(WALK_DIGEST_BYTES_MIN * 2 ** walksBefore(id), HASH_BYTES);',
        put: 'return id > 0 ? WALK_DIGEST_BYTES_MIN : HASH_BYTES;',
      },
    ],
    laws: ['test/session/collision.test.ts'],
  },
  {
    name: 'leaves-from-own-border',
    file: 'src/session/reconcile.ts',
    breaks: 'a page that only the other side has, before our next one, is passed over',
    promise: '9 all roots become equal',
    edits: [
      { find: 'first === 0 ? from : this.#lastBefore(own[first]?.key ?? to);', put: 'own[first]?.key ?? this.#lastBefore(to) ?? from;' },
    ],
    laws: ['test/session/reconcile.test.ts'],
  },
  {
    name: 'walk-wants-nothing',
    file: 'src/session/reconcile.ts',
    breaks: 'a walk finds entries that differ here and does not ask for them',
    promise: '9 all roots become equal',
    edits: [{ find: 'if (other !== undefined) this.#wants.push(key);', put: '' }],
    laws: ['test/session/reconcile.test.ts'],
  },
  {
    name: 'group-not-flushed',
    file: 'src/node/intake.ts',
    breaks: 'a root covers bytes that are not on disk',
    promise: '3 a root covers what is held',
    edits: [{ find: 'await this.#finish(group);', put: 'void this.#finish(group).catch(() => undefined);' }],
    laws: ['test/node/intake.test.ts'],
  },
  {
    name: 'todo-row-forgotten',
    file: 'src/node/intake.ts',
    breaks: 'after a crash a committed entry is never shown, and its absence is taken for a delete',
    promise: '8 nothing committed is lost',
    edits: [{ find: 'rows: (_merged, changed) => (changed ? landing.todoRows(key) : []),', put: 'rows: () => [],' }],
    laws: ['test/node/intake.test.ts'],
  },
  {
    name: 'entry-without-its-bytes',
    file: 'src/node/intake.ts',
    breaks: 'a root covers bytes that this host does not have',
    promise: '3 a root covers what is held',
    edits: [
      {
        find: 'if (!landing.holds(value.content, value.kind)) missing.push(value);',
        put: 'if (value.bytes > 65_536) missing.push(value);',
      },
    ],
    laws: ['test/node/intake.test.ts'],
  },
  {
    name: 'list-page-not-verified',
    file: 'src/node/fetcher.ts',
    breaks: 'a list page is stored under a hash that it does not have',
    promise: '1 nothing under a false hash',
    edits: [
      {
        find: "if (page === undefined || !equalBytes(hash('list', page), wanted)) return false;",
        put: 'if (page === undefined || wanted.length === 0) return false;',
      },
    ],
    laws: ['test/node/fetcher.test.ts'],
  },
  {
    name: 'confirmed-too-early',
    file: 'src/node/confirmations.ts',
    breaks: '`wait` returns although a host does not hold the last commit',
    promise: 'confirmed means held',
    edits: [{ find: 'this.#confirmed.set(peer, known.commit);', put: 'this.#confirmed.set(peer, known.commit + 1);' }],
    laws: ['test/node/confirmations.test.ts'],
  },
  {
    name: 'walk-key-in-two-forms',
    file: 'src/wire/codec.ts',
    breaks: 'the lists of a walk have several encodings',
    promise: 'one encoding each',
    edits: [
      { find: 'if (shared < this.#previous.length && rest[0] === this.#previous[shared])', put: 'if (shared > this.#previous.length)' },
    ],
    laws: ['test/wire/codec.test.ts'],
  },
  {
    name: 'etag-not-compared',
    file: 'src/node/records.ts',
    breaks: 'a write of a record replaces one that its author never saw',
    promise: '6 no version is lost',
    edits: [
      {
        find: 'return entry !== undefined && dotsOf(entry).every((dot) => seen.has(dotText(dot)));',
        put: 'return entry !== undefined && seen.size > 0;',
      },
    ],
    laws: ['test/node/records.test.ts'],
  },
  {
    name: 'cut-without-those-away',
    file: 'src/node/purge.ts',
    breaks: 'tombstones go although a member that is away has not seen them, and it brings the file back',
    promise: '8 nothing is resurrected',
    edits: [
      {
        find: 'return session !== undefined && equalBytes(session.peerRoot, root);',
        put: 'return session === undefined || equalBytes(session.peerRoot, root);',
      },
    ],
    laws: ['test/node/purge.test.ts'],
  },
  {
    name: 'cut-lost-to-an-error',
    file: 'src/node/purge.ts',
    breaks: 'a cut that could not be written is forgotten: the others have dropped what this host still has, for ever',
    promise: '9 all roots become equal',
    edits: [{ find: 'if (!this.#closed) this.#keepAgain', put: 'if (this.#closed) this.#keepAgain' }],
    laws: ['test/node/purge.test.ts'],
  },
  {
    name: 'cut-at-unlike-roots',
    file: 'src/node/purge.ts',
    breaks: 'tombstones go that a connected peer has not seen yet',
    promise: '8 nothing is resurrected',
    edits: [
      {
        find: 'return session !== undefined && equalBytes(session.peerRoot, root);',
        put: 'return session !== undefined && root.length > 0;',
      },
    ],
    laws: ['test/node/purge.test.ts'],
  },
  {
    name: 'purge-before-peers-agree',
    file: 'src/node/purge.ts',
    breaks: 'tombstones go while older versions may be on their way from a peer',
    promise: '8 nothing is resurrected',
    edits: [{ find: 'return this.#owed && this.#notAdopted().length === 0;', put: 'return this.#owed;' }],
    laws: ['test/node/purge.test.ts'],
  },
  {
    name: 'rollback-not-seen',
    file: 'src/node/incarnation.ts',
    breaks: 'an older copy of the database goes on under the id of the newer one: two writes of one name, and one is dropped',
    promise: '6 no version is lost',
    edits: [{ find: 'const { state } = incarnation;', put: "const state: string = 'same';" }],
    laws: ['test/node/incarnation.test.ts'],
  },
];
