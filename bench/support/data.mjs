/** Data that does not compress and is the same in every run. */
import { execFileSync } from 'node:child_process';
import { createCipheriv } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, readSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { MIB } from './common.mjs';

const BLOCK_BYTES = 8 * MIB;

/** Makes blocks of pseudo-random bytes: a cipher over zeros, about 2 GB/s. */
export function randomBytesOf(seed) {
  const key = Buffer.alloc(16);
  key.writeUInt32LE(seed);
  const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  const zeros = Buffer.alloc(BLOCK_BYTES);
  return (count) => cipher.update(count === BLOCK_BYTES ? zeros : zeros.subarray(0, count));
}

/** A uniform number in [0, 1), the same sequence for a seed. */
export function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Writes a file and flushes it. `head` bytes come before the random ones. */
export function writeRandomFile(path, bytes, seed, head = Buffer.alloc(0)) {
  const next = randomBytesOf(seed);
  mkdirSync(dirname(path), { recursive: true });
  const file = openSync(path, 'w');
  if (head.length > 0) writeSync(file, head);
  for (let left = bytes; left > 0; left -= BLOCK_BYTES) writeSync(file, next(Math.min(left, BLOCK_BYTES)));
  fsyncSync(file);
  closeSync(file);
}

/** As an editor saves: the new bytes beside, then renamed over the old. `aside` is on the same file system, not shared. */
export function replaceFile(path, aside, write) {
  write(aside);
  renameSync(aside, path);
}

export function writeSmallFiles(folder, count, minBytes, maxBytes, seed) {
  const random = randomOf(seed);
  const next = randomBytesOf(seed);
  for (let index = 0; index < count; index++) {
    const group = join(folder, `group-${String(Math.floor(index / 200)).padStart(5, '0')}`);
    if (index % 200 === 0) mkdirSync(group, { recursive: true });
    writeFileSync(
      join(group, `sample-${String(index).padStart(7, '0')}.txt`),
      next(minBytes + Math.floor(random() * (maxBytes - minBytes))),
    );
  }
}

/** A fast wrong answer is no figure: the target must hold what the source holds, byte by byte. */
export function requireSameFolders(source, target) {
  const [left, right] = [source, target].map((folder) => listFiles(folder));
  if (left.join('\n') !== right.join('\n')) throw new Error(`${target} has ${right.length} files, ${source} has ${left.length} or others`);
  for (const path of left) if (!sameBytes(join(source, path), join(target, path))) throw new Error(`${path} differs`);
}

function listFiles(folder) {
  const found = [];
  for (const item of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = relative(folder, join(item.parentPath ?? item.path, item.name));
    if (item.isFile() && !path.startsWith('.sameroot')) found.push(path);
  }
  return found.sort();
}

function sameBytes(left, right) {
  const files = [left, right].map((path) => openSync(path, 'r'));
  const buffers = files.map(() => Buffer.allocUnsafe(BLOCK_BYTES));
  try {
    for (;;) {
      const [a, b] = files.map((file, index) => buffers[index].subarray(0, readSync(file, buffers[index])));
      if (!a.equals(b)) return false;
      if (a.length === 0) return true;
    }
  } finally {
    for (const file of files) closeSync(file);
  }
}

/** What the disk itself does: one file written in 1 MiB pieces and flushed once, MB/s. */
export function diskWriteRate(path, bytes) {
  const piece = randomBytesOf(99)(MIB);
  const file = openSync(path, 'w');
  const since = performance.now();
  for (let done = 0; done < bytes; done += piece.length) writeSync(file, piece);
  fsyncSync(file);
  const seconds = (performance.now() - since) / 1000;
  closeSync(file);
  return bytes / 1e6 / seconds;
}

/** What the disk itself does with small files: each written under another name and renamed, all flushed once; files/s. */
export function diskCreateRate(folder, count, bytes) {
  const content = randomBytesOf(98)(bytes);
  const since = performance.now();
  for (let index = 0; index < count; index++) {
    const temporary = join(folder, `new-${index}`);
    writeFileSync(temporary, content);
    renameSync(temporary, join(folder, `file-${index}`));
  }
  execFileSync('sync', ['-f', folder]);
  return count / ((performance.now() - since) / 1000);
}
