/**
 * Two prolly trees in one process. The library has no protocol and no diff of its own: the target walks the tree of the
 * source level by level and takes each block that it does not have, all of a level in one round trip, which is the best
 * that it could do over a wire. Nothing is encoded or sent; the bytes are those of the blocks and of the names asked for.
 */
import * as codec from '@ipld/dag-cbor';
import { sha256 as hasher } from 'multiformats-9/hashes/sha2';
import { nocache as cache } from 'prolly-trees/cache';
import { create } from 'prolly-trees/map';
import { bf, simpleCompare as compare } from 'prolly-trees/utils';
import { nowMs } from '../../support/common.mjs';
import { serveCommands } from '../../support/worker-commands.mjs';
import { isOther, keyAt, numberOf, valueAt } from './records.mjs';

const FAN_OUT = 32;
const HASH_BYTES = 36;

async function build(count, differences) {
  const blocks = new Map();
  const get = (address) => blocks.get(address.toString());
  const list = Array.from({ length: count }, (_, index) => ({
    key: keyAt(index),
    value: valueAt(index, isOther(index, count, differences)),
  }));
  let root;
  for await (const node of create({ get, list, cache, chunker: bf(FAN_OUT), codec, hasher, compare })) {
    const block = await node.block;
    blocks.set(block.cid.toString(), block);
    root = node;
  }
  return { blocks, root: (await root.address).toString() };
}

/** @type {Awaited<ReturnType<typeof build>>} */
let source;
/** @type {Awaited<ReturnType<typeof build>>} */
let target;

serveCommands({
  async build({ count, differences }) {
    const sinceMs = nowMs();
    source = await build(count, differences);
    const buildSeconds = (nowMs() - sinceMs) / 1000;
    target = await build(count, 0);
    return { buildSeconds };
  },
  compare() {
    const sinceMs = nowMs();
    const taken = new Set();
    let [bytes, roundTrips, found] = [0, 0, 0];
    for (let wanted = [source.root]; wanted.length > 0; roundTrips++) {
      const next = [];
      for (const address of wanted) {
        const { bytes: encoded, value } = source.blocks.get(address);
        bytes += encoded.length + HASH_BYTES;
        taken.add(address);
        for (const [key, content] of value.leaf ?? []) if (isNew(key, content)) found++;
        for (const [, child] of value.branch?.[1] ?? []) {
          const name = child.toString();
          if (!target.blocks.has(name) && !taken.has(name)) next.push(name);
        }
      }
      wanted = next;
    }
    return { found, seconds: (nowMs() - sinceMs) / 1000, bytes, roundTrips };
  },
});

/** Not what the target has under this key. */
function isNew(key, content) {
  return !valueAt(numberOf(key), false).equals(content);
}
