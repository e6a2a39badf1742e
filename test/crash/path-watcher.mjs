/**
 * A reader of one path, as fast as it can, until its standard input ends: the path must be absent (where it may be) or
 * have exactly the bytes of one of the allowed files. Prints what it saw.
 *
 * Each file that appears is compared from its end, where what is written last would be missing, and again whenever it
 * has changed.
 *
 *   node path-watcher.mjs PATH MAY_BE_ABSENT ALLOWED...
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync, statSync } from 'node:fs';

const [path, mayBeAbsent, ...files] = process.argv.slice(2);
const allowed = files.map((file) => readFileSync(file));
const BLOCK_BYTES = 1 << 20;
const LOOKS_PER_TURN = 200;
const block = Buffer.alloc(BLOCK_BYTES);
const seen = { looks: 0, present: 0, compared: 0, wrong: [] };
let known = '';
let ended = false;

function isAllowed(file, size) {
  let candidates = allowed.filter((bytes) => bytes.length === size);
  for (let end = size; end > 0 && candidates.length > 0; end -= BLOCK_BYTES) {
    const start = Math.max(0, end - BLOCK_BYTES);
    const read = readSync(file, block, 0, end - start, start);
    candidates = candidates.filter((bytes) => bytes.subarray(start, end).equals(block.subarray(0, read)));
  }
  return candidates.length > 0;
}

/** Whoever has replaced or changed the file has changed one of these. */
function stamp({ ino, size, mtimeMs, ctimeMs }) {
  return `${ino} ${size} ${mtimeMs} ${ctimeMs}`;
}

function look() {
  seen.looks++;
  // No error is made where nothing is: it would cost more than the look.
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return absent();
  seen.present++;
  if (stamp(stats) !== known) compare();
}

function absent() {
  if (mayBeAbsent !== 'true') seen.wrong.push('absent');
}

function compare() {
  let file;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if (error.code === 'ENOENT') absent();
    else seen.wrong.push(error.code);
    return;
  }
  try {
    const stats = fstatSync(file);
    known = stamp(stats);
    seen.compared++;
    if (!isAllowed(file, stats.size)) seen.wrong.push(`torn: ${known}`);
  } finally {
    closeSync(file);
  }
}

function turn() {
  for (let i = 0; i < LOOKS_PER_TURN && seen.wrong.length < 10; i++) look();
  if (!ended) setTimeout(turn, 1);
  else console.log(JSON.stringify(seen));
}

process.stdin.on('end', () => (ended = true)).resume();
turn();
process.stderr.write('looking\n');
