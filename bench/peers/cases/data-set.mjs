/** A real data set as it was published, and its next version: some files are other, some new, some gone. */
import { cpSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fetchFixture, FIXTURES } from '../../../test/fixtures/fetch.mjs';
import { MIB } from '../../support/common.mjs';
import { FOLDER_METRICS, folderCase } from '../support/folder-case.mjs';

const part = (before, after, bytes) => ({ label: `${FIXTURES[before].spec} to ${FIXTURES[after].spec}`, before, after, bytes });

const ownFiles = (folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((item) => item.isFile())
    .map((item) => relative(folder, join(item.parentPath ?? item.path, item.name)))
    // What belongs to a contestant, not to the data.
    .filter((path) => !path.startsWith('.sameroot') && !path.startsWith('.stfolder'));

function isSame(left, right) {
  return existsSync(right) && statSync(left).size === statSync(right).size && readFileSync(left).equals(readFileSync(right));
}

/** Makes `folder` like `next` with each new or other file written beside and renamed, as a careful publisher does. */
function publish(folder, next, aside) {
  const changed = [];
  for (const path of ownFiles(next)) {
    const target = join(folder, path);
    if (isSame(join(next, path), target)) continue;
    cpSync(join(next, path), join(aside, 'file'));
    mkdirSync(dirname(target), { recursive: true });
    renameSync(join(aside, 'file'), target);
    changed.push(path);
  }
  for (const path of ownFiles(folder)) {
    if (lstatSync(join(next, path), { throwIfNoEntry: false }) !== undefined) continue;
    rmSync(join(folder, path));
    changed.push(path);
  }
  return changed;
}

export const cases = [
  folderCase({
    name: 'data-set',
    manyFiles: true,
    about: 'a real data set that both have, and its next published version',
    parts: ({ quick }) => [
      part('tablesYesterday', 'tablesToday', 50 * MIB),
      ...(quick ? [] : [part('iconsYesterday', 'iconsToday', 500 * MIB)]),
    ],
    diskBytes: ({ bytes }) => bytes * 6,
    build: async (folder, { before }) => cpSync(await fetchFixture(before), folder, { recursive: true }),
    change: async (folder, aside, { after }) => publish(folder, await fetchFixture(after), aside),
    metrics: FOLDER_METRICS,
    figures: ['seconds', 'bytes'],
    goals: [],
  }),
];
