/**
 * The walk alone: two trees in memory without a shared history. What is measured: the `walk` messages of both sides, as
 * they would be encoded for the wire, and the `entries` messages that follow. Not in it: the greeting, the answers that
 * grant and confirm, sockets, disks.
 */
import { distUrl } from '../support/common.mjs';
import { randomOf } from '../support/data.mjs';

const VALUE_BYTES = 32;

export const bench = {
  name: 'walk',
  about: 'two trees in memory without shared history find their differences; walk and entries messages as encoded, no sockets',
  runs: 1,
  async measure(context) {
    const { size, figures, detail } = context;
    const loaded = await loadTrees();
    for (const [count, differences] of size(
      [
        [1_000_000, 100],
        [1_000_000, 1],
        [1_000_000, 10_000],
        [100_000, 100],
      ],
      [[20_000, 100]],
    )) {
      const floors = count === 1_000_000 && differences === 100;
      const result = compareTrees(loaded, count, differences);
      const of = `${differences.toLocaleString('en-US')} in ${count.toLocaleString('en-US')}`;
      figures.add(`round trips, ${of}`, '', result.roundTrips, { better: 'lower', ...(floors ? { floor: 3 } : {}) });
      figures.add(`walk and entries, ${of}`, 'KB', result.bytes / 1000, { better: 'lower', ...(floors ? { floor: 600 } : {}) });
      figures.add(`walk alone, ${of}`, 'KB', result.walkBytes / 1000, { better: 'lower' });
      figures.add(`time of both sides, ${of}`, 'ms', result.milliseconds, { better: 'lower' });
      detail({ count, differences, ...result });
    }
  },
};

/** The modules of the trees, and the last tree that was built. */
export async function loadTrees() {
  const names = [
    'tree/build.js',
    'tree/edit.js',
    'tree/page.js',
    'tree/rank.js',
    'session/reconcile.js',
    'base/limits.js',
    'wire/codec.js',
  ];
  const rooms = Object.assign({}, ...(await Promise.all([...names, 'entry/entry-codec.js'].map((name) => import(distUrl(name))))));
  return { rooms, trees: new Map() };
}

const keyAt = (at) => Buffer.from(`r/shard-${String(Math.floor(at / 1000)).padStart(4, '0')}/sample-${String(at).padStart(7, '0')}`);

/** A record as a writer makes it, without its history. */
function entryAt(encodeEntry, at, replica, sequence) {
  const data = Buffer.alloc(VALUE_BYTES);
  for (let word = 0; word + 4 <= VALUE_BYTES; word += 4) data.writeInt32LE(Math.imul(at * 31 + word + sequence, 0x9e3779b1) | 0, word);
  const dot = { replica, sequence };
  const stamp = { wallMs: 1_700_000_000_000 + at, counter: 0 };
  return encodeEntry({ versions: [{ dot, stamp, value: { kind: 'record', data } }], context: new Map([[replica, sequence]]) });
}

/** Pages in memory by the text of their hash. */
class Pages {
  #pages = new Map();
  get(hash) {
    return this.#pages.get(Buffer.from(hash.buffer, hash.byteOffset, hash.length).toString('latin1'));
  }
  put(hash, page) {
    this.#pages.set(Buffer.from(hash.buffer, hash.byteOffset, hash.length).toString('latin1'), page);
  }
}

function baseTree({ rooms, trees }, count) {
  const known = trees.get(count);
  if (known !== undefined) return known;
  const ranker = new rooms.Ranker({ salt: Buffer.alloc(16, 7), rankBits: 5, weigh: rooms.weighEntry });
  const pages = new Pages();
  const entries = function* () {
    for (let at = 0; at < count; at++) yield { key: keyAt(at), value: entryAt(rooms.encodeEntry, at, '0101010101010101', at + 1) };
  };
  const since = performance.now();
  const tree = rooms.build(entries(), ranker, pages);
  const made = { ranker, pages, tree, buildSeconds: (performance.now() - since) / 1000 };
  trees.clear();
  trees.set(count, made);
  return made;
}

/** Half of the differences are newer on one side, half on the other. */
export function compareTrees(loaded, count, differences) {
  const { rooms } = loaded;
  const { ranker, pages, tree, buildSeconds } = baseTree(loaded, count);
  const random = randomOf(6);
  const chosen = new Set();
  while (chosen.size < differences) chosen.add(Math.floor(random() * count));
  const sorted = [...chosen].sort((a, b) => a - b);
  let editSeconds = 0;
  const sides = [0, 1].map((side) => {
    const replica = side === 0 ? '0202020202020202' : '0303030303030303';
    const changes = sorted
      .filter((_, index) => index % 2 === side)
      .map((at) => ({ key: keyAt(at), value: entryAt(rooms.encodeEntry, at, replica, 1) }));
    const since = performance.now();
    const own = rooms.edit(new rooms.PageReader(pages), tree, changes, ranker, pages);
    editSeconds += (performance.now() - since) / 1000;
    return { tree: own, root: rooms.rootHash(own, Buffer.alloc(32, 9)) };
  });
  return { buildSeconds, editSeconds, ...exchange(rooms, pages, sides, differences) };
}

function exchange(rooms, pages, sides, differences) {
  const since = performance.now();
  const walks = sides.map(
    ({ tree, root }) => new rooms.Walk({ id: 1, merge: true, reader: new rooms.PageReader(pages), tree, root, rankBits: 5 }),
  );
  const messageBytes = [];
  /** Messages under way, in the order in which they were sent; each is one hop after the latest that its sender had got. */
  const underWay = [];
  const hops = [0, 0];
  const send = (from, messages) => {
    for (const message of messages) {
      const encoded = rooms.encodeMessage(message);
      messageBytes.push(encoded.length);
      underWay.push({ to: 1 - from, encoded, hop: hops[from] + 1 });
    }
  };
  /** The hop in which a side's entries travel: the one after the message that told it all, or of its last answer. */
  let lastHop = 0;
  send(0, [walks[0].start()]);
  for (let next = underWay.shift(); next !== undefined; next = underWay.shift()) {
    const { to, encoded, hop } = next;
    hops[to] = Math.max(hops[to], hop);
    send(to, walks[to].step(rooms.decodeMessage(encoded)));
    if (walks[to].complete) lastHop = Math.max(lastHop, hops[to] + 1);
  }
  if (!walks.every(({ complete }) => complete)) throw new Error('the walk did not end on both sides');
  const entries = walks.map((walk) => entryMessages(rooms, walk));
  const found = entries.map(({ keys }) => keys.size);
  if (found.some((count) => count !== differences)) throw new Error(`the walk found ${found} of ${differences} differences`);
  const walkBytes = messageBytes.reduce((sum, bytes) => sum + bytes, 0);
  return {
    roundTrips: lastHop / 2,
    walkBytes,
    bytes: walkBytes + entries[0].bytes + entries[1].bytes,
    milliseconds: performance.now() - since,
    messageBytes,
    entriesBytes: entries.map(({ bytes }) => bytes),
  };
}

/** The entries as a session streams them: in parts of the size it aims at, the last one with the root. */
function entryMessages(rooms, walk) {
  const keys = new Set();
  let bytes = 0;
  let items = [];
  let itemBytes = 0;
  const send = (root) => {
    bytes += rooms.encodeMessage({ type: 'entries', base: undefined, root, walk: walk.id, items, inline: [] }).length;
    items = [];
    itemBytes = 0;
  };
  for (const item of walk.missingThere()) {
    keys.add(Buffer.from(item.key).toString());
    items.push(item);
    itemBytes += item.key.length + item.entry.length;
    if (itemBytes >= rooms.ENTRIES_MESSAGE_BYTES_GOAL) send(undefined);
  }
  send(walk.root);
  return { keys, bytes };
}
