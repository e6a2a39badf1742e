/** A change in what both have. */
import { cpSync, closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { GIB, MIB } from '../../support/common.mjs';
import { randomBytesOf, randomOf, writeRandomFile } from '../../support/data.mjs';
import { folderCase } from '../support/folder-case.mjs';

const FOLDER_FILES = 16;
const OVERWRITE_BYTES = 4_096;

const parts = ({ quick }) => [quick ? { label: '64 MiB', bytes: 64 * MIB, places: 60 } : { label: '1 GiB', bytes: GIB, places: 1_000 }];
const diskBytes = ({ bytes }) => bytes * 6;
const buildFile = (folder, { bytes }) => writeRandomFile(join(folder, 'large.bin'), bytes, 3);

const partNames = (folder) => Array.from({ length: FOLDER_FILES }, (_, index) => `${folder}/part-${String(index).padStart(4, '0')}.bin`);

function buildFolder(folder, { bytes }) {
  for (const [index, name] of partNames('old').entries()) writeRandomFile(join(folder, name), bytes / FOLDER_FILES, 100 + index);
}

/** In place, as a database writes. */
function overwrite(folder, { bytes, places }) {
  const random = randomOf(11);
  const next = randomBytesOf(11);
  const file = openSync(join(folder, 'large.bin'), 'r+');
  for (let done = 0; done < places; done++) {
    writeSync(file, next(OVERWRITE_BYTES), 0, OVERWRITE_BYTES, Math.floor(random() * (bytes / OVERWRITE_BYTES)) * OVERWRITE_BYTES);
  }
  fsyncSync(file);
  closeSync(file);
}

const movedGoals = [
  { metric: 'seconds', of: 'sameroot', against: 'rsync', most: 0.2 },
  { metric: 'bytes', of: 'sameroot', most: 10_000 },
];

export const cases = [
  folderCase({
    name: 'insert-head',
    about: 'one byte inserted at the head of a file that both have: every later byte has another offset',
    parts,
    diskBytes,
    build: buildFile,
    prepare: (_folder, aside, { bytes }) => writeRandomFile(join(aside, 'large.bin'), bytes, 3, Buffer.from('!')),
    change(folder, aside) {
      renameSync(join(aside, 'large.bin'), join(folder, 'large.bin'));
      return ['large.bin'];
    },
    figures: ['seconds', 'bytes'],
    goals: [
      { metric: 'seconds', of: 'sameroot', against: 'rsync', most: 0.5 },
      { metric: 'bytes', of: 'sameroot', most: 150_000 },
    ],
  }),
  folderCase({
    name: 'overwrites',
    about: 'random 4 KB pieces overwritten in place in a file that both have (1,000 in 1 GiB)',
    parts,
    diskBytes,
    build: buildFile,
    change(folder, _aside, part) {
      overwrite(folder, part);
      return ['large.bin'];
    },
    figures: ['seconds', 'bytes'],
    goals: [],
  }),
  folderCase({
    name: 'rename-folder',
    about: 'a folder of 16 files that both have gets another name',
    parts,
    diskBytes,
    build: buildFolder,
    change(folder) {
      renameSync(join(folder, 'old'), join(folder, 'new'));
      return [...partNames('old'), ...partNames('new')];
    },
    figures: ['seconds', 'bytes'],
    goals: movedGoals,
  }),
  folderCase({
    name: 'copy-folder',
    about: 'a folder of 16 files that both have is copied: nothing should have to move',
    parts,
    diskBytes,
    build: buildFolder,
    prepare: (folder, aside) => cpSync(join(folder, 'old'), join(aside, 'copy'), { recursive: true }),
    change(folder, aside) {
      renameSync(join(aside, 'copy'), join(folder, 'copy'));
      return partNames('copy');
    },
    figures: ['seconds', 'bytes'],
    goals: movedGoals,
  }),
];
