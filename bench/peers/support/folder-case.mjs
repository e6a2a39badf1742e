/**
 * A case in which one folder is made like another: the source is built, each contestant gets an empty target, and what
 * is timed is either the first sync or the one after a change. Everything is made anew for each turn, and what the
 * turn before left for the disk to do is done before the clock starts.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { nowMs, sleep } from '../../support/common.mjs';
import { requireSameFolders } from '../../support/data.mjs';
import { touchFreeMemory } from '../../support/memory.mjs';

/** Unison takes times less than two seconds apart for the same: a change so soon after the build would not be one to it. */
const CHANGE_AFTER_MS = 2_100;
const run = promisify(execFile);

/** Cases of this kind that anything which makes one folder like another can take part in. */
export const FOLDER_CASES = [
  'first-sync-large',
  'first-sync-medium',
  'first-sync-small',
  'data-set',
  'insert-head',
  'overwrites',
  'rename-folder',
  'copy-folder',
  'unchanged',
];

export const FOLDER_METRICS = {
  seconds: { title: 'time', unit: 's' },
  bytes: { title: 'bytes both ways', unit: 'bytes' },
  roundTrips: { title: 'round trips', unit: '' },
  rescanSeconds: { title: 'time with a full scan of the folder', unit: 's' },
  firstSeconds: { title: 'first sync before it', unit: 's' },
  indexSeconds: { title: 'cold index of the source', unit: 's' },
};

/**
 * @param {object} parameters
 * @param {(folder: string, part: object) => void | Promise<void>} parameters.build fills the source
 * @param {(folder: string, aside: string, part: object) => void} [parameters.prepare] what takes long of a change, made in `aside`: a
 *   folder of the same file system that is not shared
 * @param {(folder: string, aside: string, part: object) => string[] | Promise<string[]>} [parameters.change] takes no time to speak of, and gives
 *   the paths that are new or other. Without it the first sync is what is timed.
 */
export function folderCase({ build, prepare, change, metrics = FOLDER_METRICS, ...about }) {
  return {
    kind: 'folders',
    metrics,
    figures: ['seconds'],
    ...about,
    async open({ contestant, part, space }) {
      const source = space.makeFolder('source');
      const target = space.makeFolder('target');
      await build(source, part);
      await flush(source);
      const builtMs = nowMs();
      const pair = await contestant.open({ space, source, target, settings: about.settings ?? {} });
      if (change === undefined) return { pair, source, target, space };
      const { seconds: firstSeconds } = await pair.first();
      requireSameFolders(source, target);
      await sleep(Math.max(0, builtMs + CHANGE_AFTER_MS - nowMs()));
      await pair.settle?.();
      return { pair, source, target, space, firstSeconds };
    },
    async turn({ pair, source, target, space, firstSeconds }, { part }) {
      const aside = space.makeFolder('aside');
      prepare?.(source, aside, part);
      await flush(source);
      await touchFreeMemory(about.diskBytes(part));
      // Whoever watches the folder begins now: so does the clock.
      const changed = await change?.(source, aside, part);
      const measured = changed === undefined ? await pair.first() : await pair.again(changed);
      requireSameFolders(source, target);
      return { ...(changed === undefined ? { indexSeconds: pair.indexSeconds } : { firstSeconds }), ...measured };
    },
  };
}

async function flush(folder) {
  await run('sync', ['-f', folder]);
}
