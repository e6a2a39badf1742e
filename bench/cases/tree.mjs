/**
 * The tree alone, in this process: built in one pass in memory; built in batches in LevelDB, as a node takes in a share;
 * edited at scattered keys in both. Rates are by wall clock and by CPU seconds of all threads of the process, which other
 * load on the machine changes least. Not in it: making the entries, the rows that a commit writes beside its pages.
 */
import { distUrl, MB } from '../support/common.mjs';
import { randomOf } from '../support/data.mjs';

const VALUE_BYTES = 32;
const REPLICA = '0101010101010101';
/** Entries of one batch while the tree in LevelDB grows. */
const GROWTH = 10_000;

export const bench = {
  name: 'tree',
  about: 'the tree in memory and in LevelDB: bulk build, batches of scattered edits, scan; with --variants also 10,000,000 entries',
  runs: 1,
  async measure(context) {
    const { size, variants } = context;
    const rooms = await load();
    const count = size(1_000_000, 20_000);
    await inLevel(context, rooms, count);
    for (const each of size([100_000, count], [count])) inMemory(context, rooms, each, each === count);
    if (variants) await inLevel(context, rooms, size(10_000_000, 50_000));
  },
};

async function load() {
  const names = ['tree/build.js', 'tree/edit.js', 'tree/page.js', 'tree/rank.js', 'tree/walk.js'];
  const others = ['entry/entry-codec.js', 'store/level-store.js', 'store/keyspace.js'];
  const rooms = Object.assign({}, ...(await Promise.all([...names, ...others].map((name) => import(distUrl(name))))));
  return { ...rooms, ranker: new rooms.Ranker({ salt: Buffer.alloc(16, 7), rankBits: 5, weigh: rooms.weighEntry }) };
}

function inMemory({ size, figures }, rooms, count, whole) {
  const entries = Array.from({ length: count }, (_, at) => entryAt(rooms, at, at + 1));
  const pages = new Pages();
  const clock = new Work();
  let tree;
  clock.time(() => void (tree = rooms.build(entries, rooms.ranker, pages)));
  report(figures, `build, ${text(count)} in memory`, 'entries', count, clock);
  if (!whole) return;
  const reader = new rooms.PageReader(pages);
  for (const [batch, batches] of [
    [size(1_000, 100), size(30, 3)],
    [size(10_000, 1_000), size(8, 2)],
  ]) {
    const editing = new Work();
    let [pageBytes, sum] = [0, 0];
    for (const changes of scattered(rooms, count, batch, batches)) {
      const fresh = [];
      editing.time(() => void (tree = rooms.edit(reader, tree, changes, rooms.ranker, { put: (...page) => fresh.push(page) })));
      for (const [hash, page] of fresh) {
        pages.put(hash, page);
        pageBytes += page.length;
      }
      sum += changes.length;
    }
    report(figures, `batches of ${text(batch)} scattered edits in ${text(count)}, in memory`, 'edits', sum, editing);
    figures.add(`pages written per edit, batches of ${text(batch)}`, 'bytes', pageBytes / sum, { better: 'lower' });
  }
}

/** Every batch is one durable write of its pages. */
async function inLevel({ size, figures, detail, workspace }, rooms, count) {
  const space = workspace(count * 600);
  const store = await rooms.openLevelStore(space.makeFolder('database'));
  try {
    const reader = new rooms.PageReader({ get: (hash) => store.get(rooms.pageKey(hash)) });
    let tree = rooms.EMPTY_TREE;
    const commit = async (changes) => {
      const operations = [];
      const put = (hash, value) => operations.push({ type: 'put', key: rooms.pageKey(hash), value });
      tree = rooms.edit(reader, tree, changes, rooms.ranker, { put });
      await store.write(operations, { durable: true });
    };
    const growing = new Work();
    const memory = [];
    for (let from = 0; from < count; from += GROWTH) {
      const changes = Array.from({ length: Math.min(GROWTH, count - from) }, (_, at) => entryAt(rooms, from + at, from + at + 1));
      await growing.timeAsync(() => commit(changes));
      if ((from + GROWTH) % (count / 10) === 0) memory.push({ entries: from + GROWTH, rssMB: process.memoryUsage.rss() / MB });
    }
    report(figures, `growth to ${text(count)} in LevelDB`, 'entries', count, growing);
    const [first, last] = [memory[0], memory.at(-1)];
    const slope = ((last.rssMB - first.rssMB) * MB) / (last.entries - first.entries);
    figures.add(`RSS after growth to ${text(count)}`, 'MB', last.rssMB, { better: 'lower' });
    figures.add(`RSS per entry from ${text(first.entries)} to ${text(last.entries)}`, 'bytes', slope, { better: 'lower' });
    for (const [batch, batches] of [
      [size(1_000, 100), size(20, 3)],
      [size(10_000, 1_000), size(5, 2)],
    ]) {
      const editing = new Work();
      for (const changes of scattered(rooms, count, batch, batches)) await editing.timeAsync(() => commit(changes));
      report(figures, `batches of ${text(batch)} scattered edits in ${text(count)}, in LevelDB`, 'edits', batch * batches, editing);
    }
    const scanning = new Work();
    let scanned = 0;
    scanning.time(() => {
      for (const { value } of rooms.walk(reader, tree)) if (value.length > 0) scanned++;
    });
    if (scanned !== count) throw new Error(`the tree has ${scanned} entries, not ${count}`);
    report(figures, `scan of ${text(count)} in LevelDB`, 'entries', count, scanning);
    detail({ count, memory, rssAfterMB: process.memoryUsage.rss() / MB });
  } finally {
    await store.close();
    await space.close();
  }
}

/** Wall and CPU seconds of what is timed. */
class Work {
  wallSeconds = 0;
  cpuSeconds = 0;

  time(work) {
    const end = this.#begin();
    work();
    end();
  }

  async timeAsync(work) {
    const end = this.#begin();
    await work();
    end();
  }

  #begin() {
    const since = performance.now();
    const before = process.cpuUsage();
    return () => {
      this.wallSeconds += (performance.now() - since) / 1000;
      const { user, system } = process.cpuUsage(before);
      this.cpuSeconds += (user + system) / 1e6;
    };
  }
}

function report(figures, name, what, amount, { wallSeconds, cpuSeconds }) {
  figures.add(name, `${what}/s`, amount / wallSeconds);
  figures.add(`${name}, by CPU`, `${what}/CPU s`, amount / cpuSeconds);
}

const text = (amount) => amount.toLocaleString('en-US');

/** A record as a writer makes it, without its history. */
function entryAt({ encodeEntry }, at, sequence) {
  const key = Buffer.from(`r/shard-${String(Math.floor(at / 1000)).padStart(5, '0')}/sample-${String(at).padStart(8, '0')}`);
  const data = Buffer.alloc(VALUE_BYTES);
  for (let word = 0; word + 4 <= VALUE_BYTES; word += 4) data.writeInt32LE(Math.imul(at * 31 + word + sequence, 0x9e3779b1) | 0, word);
  const dot = { replica: REPLICA, sequence };
  const stamp = { wallMs: 1_700_000_000_000 + at, counter: 0 };
  const value = encodeEntry({ versions: [{ dot, stamp, value: { kind: 'record', data } }], context: new Map([[REPLICA, sequence]]) });
  return { key, value };
}

function* scattered(rooms, count, batch, batches) {
  const random = randomOf(count + batch);
  for (let round = 1; round <= batches; round++) {
    const chosen = new Set();
    while (chosen.size < batch) chosen.add(Math.floor(random() * count));
    yield [...chosen].sort((a, b) => a - b).map((at) => entryAt(rooms, at, count * batch + round));
  }
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
