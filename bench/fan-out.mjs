/**
 * What the mean fan-out of the tree (2^rankBits) costs: bytes of a walk, pages and bytes per edit, speed, store bytes.
 * Prints JSON. The ratios between the rows of one run count; absolute speeds belong to the machine.
 *
 *   npx tsc -p . && node --expose-gc bench/fan-out.mjs [entries ...]      SAMEROOT_DIST names another build
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Level } from 'level';

const dist = pathToFileURL(resolve(process.env.SAMEROOT_DIST ?? new URL('../dist', import.meta.url).pathname)).href;
const { build } = await import(`${dist}/tree/build.js`);
const { edit } = await import(`${dist}/tree/edit.js`);
const { diff } = await import(`${dist}/tree/diff.js`);
const { PageReader } = await import(`${dist}/tree/page.js`);
const { Ranker } = await import(`${dist}/tree/rank.js`);
const { lookup, walk } = await import(`${dist}/tree/walk.js`);
const { hashImplementation } = await import(`${dist}/content/hash.js`);

const DIGEST_BYTES = 16;
const VALUE_BYTES = 70;
const sizes = process.argv.slice(2).map(Number);
if (sizes.length === 0) sizes.push(100_000, 1_000_000);

/** The same numbers in every run. */
function makeRandom(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const keyAt = (at) => Buffer.from(`f/shard-${String(Math.floor(at / 1000)).padStart(3, '0')}/part-${String(at).padStart(6, '0')}.bin`);

function valueAt(at, version) {
  const value = Buffer.alloc(VALUE_BYTES);
  for (let word = 0; word + 4 <= VALUE_BYTES; word += 4) value.writeInt32LE(Math.imul(at * 31 + word + version, 0x9e3779b1) | 0, word);
  return value;
}

function* entries(count) {
  for (let at = 0; at < count; at++) yield { key: keyAt(at), value: valueAt(at, 0) };
}

/** Pages in memory; an append-only store is what LevelDB is, without its time. */
class Pages {
  map = new Map();
  gets = 0;
  puts = 0;
  putBytes = 0;
  #keep;
  constructor(keep = true) {
    this.#keep = keep;
  }
  get(hash) {
    this.gets++;
    return this.map.get(hash.toString('latin1'));
  }
  put(hash, page) {
    this.puts++;
    this.putBytes += page.length;
    if (this.#keep) this.map.set(hash.toString('latin1'), page);
  }
  reset() {
    this.gets = this.puts = this.putBytes = 0;
  }
}

const round = (value) => Number(value.toPrecision(4));
const seconds = (since) => (performance.now() - since) / 1000;

/** Indexes spread over all entries, ascending. */
function scattered(count, of, random) {
  const chosen = new Set();
  while (chosen.size < count) chosen.add(Math.floor(random() * of));
  return [...chosen].sort((a, b) => a - b);
}

/**
 * What a symmetric walk sends to find the differences: message by message, the digests and front-coded keys of all items
 * `step` levels below the pages that are known to differ. Values differ and keys do not, so that items of both trees
 * stand side by side.
 */
function symmetricWalk(reader, a, b, step) {
  let bytes = 0;
  let messages = 0;
  let open = [[reader.read(a.page), reader.read(b.page)]];
  while (open.length > 0) {
    for (let level = 1; level < step && open[0][0].level > 0; level++) {
      open = open.flatMap(([left, right]) => childrenOf(left).map((item) => [reader.read(left.hash(item)), reader.read(right.hash(item))]));
    }
    const below = [];
    for (const [left, right] of open) {
      let start = 2;
      for (const item of childrenOf(left)) {
        bytes += left.bodyStart(item) - start + DIGEST_BYTES;
        start = left.end(item);
        if (left.level > 0 && !left.sameBody(item, right, item)) below.push([reader.read(left.hash(item)), reader.read(right.hash(item))]);
      }
    }
    messages++;
    open = below;
  }
  return { bytes, messages };
}

const childrenOf = (page) => Array.from({ length: page.size }, (_, item) => item);

/** Durable batches of scattered edits, one on the other, in LevelDB under the hashes of the pages. */
async function measureLevel(count, rankBits) {
  const random = makeRandom(7);
  const ranker = new Ranker({ salt: Buffer.alloc(32, 7), rankBits, weigh: (_key, value) => ({ live: 1, bytes: value.length }) });
  const directory = mkdtempSync(join(tmpdir(), 'sameroot-fan-out-'));
  const db = new Level(directory, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    compression: false,
    writeBufferSize: 32 * 1024 * 1024,
  });
  await db.open();
  let operations = [];
  const sink = { put: (key, value) => operations.push({ type: 'put', key, value }) };
  const commit = async () => {
    await db.batch(operations, { sync: true });
    operations = [];
  };
  const reader = new PageReader({ get: (hash) => db.getSync(hash) });
  let tree = build(entries(count), ranker, sink);
  await commit();
  const written = () => Number(/write_bytes: (\d+)/.exec(readFileSync('/proc/self/io', 'utf8'))[1]);
  const rounds = 60;
  const before = written();
  const since = performance.now();
  for (let at = 0; at < rounds; at++) {
    const changes = scattered(1000, count, random).map((index) => ({ key: keyAt(index), value: valueAt(index, at + 1) }));
    tree = edit(reader, tree, changes, ranker, sink);
    await commit();
  }
  const result = {
    entries: count,
    rankBits,
    editsPerSecond: Math.round((rounds * 1000) / seconds(since)),
    diskBytesPerEdit: Math.round((written() - before) / rounds / 1000),
  };
  await db.close();
  rmSync(directory, { recursive: true });
  return result;
}

function measure(count, rankBits) {
  globalThis.gc?.();
  const random = makeRandom(42);
  const weigh = (_key, value) => ({ live: 1, bytes: value.length });
  const ranker = new Ranker({ salt: Buffer.alloc(32, 7), rankBits, weigh });
  const pages = new Pages();
  let since = performance.now();
  const tree = build(entries(count), ranker, pages);
  const buildSeconds = seconds(since);
  const result = {
    entries: count,
    rankBits,
    levels: tree.level + 1,
    pages: pages.puts,
    storeBytes: pages.putBytes,
    buildPerSecond: Math.round(count / buildSeconds),
  };
  since = performance.now();
  let walked = 0;
  for (const { value } of walk(new PageReader(pages), tree)) walked += value.length > 0 ? 1 : 0;
  result.walkPerSecond = Math.round(walked / seconds(since));

  result.walk = {};
  for (const differences of [1, 100, 10_000]) {
    const rounds = differences === 1 ? 20 : 1;
    const sum = { bytesPerDifference: 0, messages: 0, twoLevelBytesPerDifference: 0, twoLevelMessages: 0 };
    for (let at = 0; at < rounds; at++) {
      const changes = scattered(differences, count, random).map((index) => ({ key: keyAt(index), value: valueAt(index, 1 + at) }));
      const reader = new PageReader(pages, 100_000);
      const other = edit(reader, tree, changes, ranker, pages);
      const one = symmetricWalk(reader, tree, other, 1);
      const two = symmetricWalk(reader, tree, other, 2);
      sum.bytesPerDifference += one.bytes / rounds / differences;
      sum.messages = one.messages;
      sum.twoLevelBytesPerDifference += two.bytes / rounds / differences;
      sum.twoLevelMessages = two.messages;
      let found = 0;
      for (const difference of diff(reader, tree, other)) found += difference.b === undefined ? 0 : 1;
      if (found !== differences) throw new Error('diff is wrong');
    }
    sum.bytesPerDifference = Math.round(sum.bytesPerDifference);
    sum.twoLevelBytesPerDifference = Math.round(sum.twoLevelBytesPerDifference);
    result.walk[differences] = sum;
  }

  const samples = 300;
  pages.reset();
  for (const index of scattered(samples, count, random)) lookup(new PageReader(pages), tree, keyAt(index));
  result.pagesReadPerLookup = round(pages.gets / samples);
  pages.reset();
  for (const index of scattered(samples, count, random)) {
    edit(new PageReader(pages), tree, [{ key: keyAt(index), value: valueAt(index, 99) }], ranker, pages);
  }
  result.pagesReadPerEdit = round(pages.gets / samples);
  result.pagesPutPerEdit = round(pages.puts / samples);
  result.bytesPutPerEdit = Math.round(pages.putBytes / samples);

  result.batches = {};
  for (const [name, make] of [
    ['scattered', () => scattered(1000, count, random)],
    [
      'neighbours',
      () =>
        Array.from(
          { length: 1000 },
          (
            (start) => (_, at) =>
              start + at
          )(Math.floor(random() * (count - 1000))),
        ),
    ],
  ]) {
    const reader = new PageReader(pages);
    const dropped = new Pages(false); // each batch edits the same tree: a store that grew would be measured instead
    const rounds = 50;
    const batches = Array.from({ length: rounds }, (_, at) =>
      make().map((index) => ({ key: keyAt(index), value: valueAt(index, 1000 + at) })),
    );
    since = performance.now();
    for (const changes of batches) edit(reader, tree, changes, ranker, dropped);
    result.batches[name] = {
      editsPerSecond: Math.round((rounds * 1000) / seconds(since)),
      pagesPutPerEdit: round(dropped.puts / rounds / 1000),
      bytesPutPerEdit: Math.round(dropped.putBytes / rounds / 1000),
    };
  }
  return result;
}

measure(20_000, 5); // warms the compiler up
const rows = [];
const levelRows = [];
for (const count of sizes) for (const rankBits of [4, 5, 6]) rows.push(measure(count, rankBits));
for (const count of sizes) for (const rankBits of [4, 5, 6]) levelRows.push(await measureLevel(count, rankBits));
console.log(
  JSON.stringify(
    { node: process.version, hash: hashImplementation(), valueBytes: VALUE_BYTES, digestBytes: DIGEST_BYTES, rows, levelRows },
    undefined,
    1,
  ),
);
