/** Mutants of the replica: what is one batch, what is flushed, what is kept over a restart, what may be collected. */

const REPLICA_LAWS = ['test/replica/replica.test.ts'];

/** @type {readonly import('./mutant-list.mjs').Mutant[]} */
export const REPLICA_MUTANTS = [
  {
    name: 'head-before-its-pages',
    file: 'src/replica/replica.ts',
    breaks: 'a crash between two batches leaves a head whose pages are missing: the database is damaged',
    promise: '2 all pages of a head are there',
    edits: [
      {
        find: 'if (operations.length > 0) await this.store.write(operations, { durable: true });',
        put:
          'const isHead = ({ key }: Operation): boolean => compareBytes(key, keyspace.headKey()) === 0;\n' +
          '      if (operations.some(isHead)) await this.store.write(operations.filter(isHead), { durable: true });\n' +
          '      const rest = operations.filter((operation) => !isHead(operation));\n' +
          '      if (rest.length > 0) await this.store.write(rest, { durable: true });',
      },
    ],
    laws: REPLICA_LAWS,
  },
  {
    name: 'head-not-flushed',
    file: 'src/replica/replica.ts',
    breaks: 'what was acknowledged as committed is gone after a power failure',
    promise: '8 nothing committed is lost',
    edits: [
      { find: 'await this.store.write(operations, { durable: true });', put: 'await this.store.write(operations, { durable: false });' },
    ],
    laws: REPLICA_LAWS,
  },
  {
    name: 'rows-before-their-entry',
    file: 'src/replica/replica.ts',
    breaks: 'a crash between two batches leaves a placed row of an edit that was not taken in: it is never looked at again',
    promise: '8 nothing committed is lost',
    edits: [
      {
        find: 'if (operations.length > 0) await this.store.write(operations, { durable: true });',
        put:
          'const isHead = ({ key }: Operation): boolean => compareBytes(key, keyspace.headKey()) === 0;\n' +
          '      const rest = operations.filter((operation) => !isHead(operation));\n' +
          '      if (rest.length > 0) await this.store.write(rest, { durable: true });\n' +
          '      if (operations.some(isHead)) await this.store.write(operations.filter(isHead), { durable: true });',
      },
    ],
    laws: REPLICA_LAWS,
  },
  {
    name: 'group-reads-the-old-entry',
    file: 'src/replica/replica.ts',
    breaks: 'of two writes to one key in one group, the first is lost',
    promise: '6 no version is lost',
    edits: [
      {
        find: 'const current = earlier === undefined ? this.entry(mutation.key, previous.tree) : earlier.entry;',
        put: 'const current = this.entry(mutation.key, previous.tree);',
      },
    ],
    laws: REPLICA_LAWS,
  },
  {
    name: 'tombstone-purged-at-once',
    file: 'src/replica/replica.ts',
    breaks: 'a delete is forgotten, and the file comes back from a host that was away',
    promise: '8 nothing is resurrected',
    edits: [
      {
        find: 'if (entry === undefined) return { key, value: undefined };',
        put: "if (entry === undefined || entry.versions.every(({ value }) => value.kind === 'deleted')) return { key, value: undefined };",
      },
    ],
    laws: ['test/replica/replica.test.ts', 'test/node/sync.test.ts'],
  },
  {
    name: 'replica-id-used-again',
    file: 'src/replica/replica.ts',
    breaks: 'two databases name their writes alike, and one of two writes of one name is dropped',
    promise: '6 no version is lost',
    edits: [
      {
        find: "already holds a share');\n    const id = random.bytes(REPLICA_ID_BYTES);",
        put: "already holds a share');\n    const id = share.id.subarray(random.bytes(1).length - 1, REPLICA_ID_BYTES);",
      },
    ],
    laws: REPLICA_LAWS,
  },
  {
    name: 'replica-id-kept-by-a-restore',
    file: 'src/replica/replica.ts',
    breaks: 'a database that was put back from a backup gives names to its writes that it has given before',
    promise: '6 no version is lost',
    edits: [
      {
        find: "[{ type: 'put', key: keyspace.metaKey(META_REPLICA), value: id }, ...rows]",
        put: '[...rows].slice(id.length - REPLICA_ID_BYTES)',
      },
    ],
    laws: ['test/node/incarnation.test.ts'],
  },
  {
    name: 'clock-mark-not-kept',
    file: 'src/replica/replica.ts',
    breaks: 'after a restart stamps may be older than those given before',
    promise: '5 merge is a join',
    edits: [{ find: 'new HybridClock(() => clock.wallMs(), head?.stamp)', put: 'new HybridClock(() => clock.wallMs())' }],
    laws: REPLICA_LAWS,
  },
  {
    name: 'sequence-not-kept',
    file: 'src/replica/head.ts',
    breaks: 'after a restart writes have the names of earlier ones',
    promise: '6 no version is lost',
    edits: [{ find: 'const sequence = reader.varint();', put: 'const sequence = reader.varint() * 0;' }],
    laws: REPLICA_LAWS,
  },
  {
    name: 'collector-sweeps-fresh-pages',
    file: 'src/replica/gc.ts',
    breaks: 'pages of a commit that was made meanwhile are dropped: the database is damaged',
    promise: '2 all pages of a head are there',
    edits: [{ find: '!isIn(marked, key) && !isIn(fresh, key)', put: '!isIn(marked, key) && fresh.size >= 0' }],
    laws: ['test/replica/gc.test.ts'],
  },
  {
    name: 'collector-forgets-sessions',
    file: 'src/replica/gc.ts',
    breaks: 'pages are dropped that a session still reads',
    promise: '2 all pages of a head are there',
    edits: [{ find: '...oldRoots, ...this.#heldTrees(), this.#replica.head.tree', put: '...oldRoots, this.#replica.head.tree' }],
    laws: ['test/replica/gc.test.ts'],
  },
  {
    name: 'collector-forgets-history',
    file: 'src/replica/gc.ts',
    breaks: 'roots stay findable whose pages are gone',
    promise: '2 all pages of a head are there',
    edits: [{ find: 'if (row !== undefined) trees.push(decodeTree(row));', put: 'if (row === undefined) trees.push(decodeTree(row!));' }],
    laws: ['test/replica/gc.test.ts'],
  },
  {
    name: 'births-after-a-purge',
    file: 'src/replica/replica.ts',
    breaks: 'a file that is put back after its tombstone was purged has the name of the write that was deleted, and goes again',
    promise: '6 no version is lost',
    edits: [{ find: 'births: this.#stable.sequences.size === 0,', put: 'births: this.#stable.sequences.size >= 0,' }],
    laws: ['test/replica/tombstones.test.ts', 'test/node/purge.test.ts'],
  },
  {
    name: 'purge-of-what-arrives',
    file: 'src/replica/tombstones.ts',
    breaks: 'a tombstone goes while an older version of its key is on its way into the tree',
    promise: '8 nothing is resurrected',
    edits: [{ find: 'if (isArriving(key) || replica.store', put: 'if (replica.store' }],
    laws: ['test/replica/tombstones.test.ts'],
  },
];
