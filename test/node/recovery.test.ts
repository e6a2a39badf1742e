import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { realRandom } from '../../src/app/real-world.ts';
import { realDisk } from '../../src/folder/real-disk.ts';
import { hasRecovery, readRecovery, writeRecovery } from '../../src/node/recovery.ts';
import { createShare } from '../../src/replica/share.ts';

const share = createShare('photos', 'ab'.repeat(32), realRandom);
const members = ['cd', 'bc'].map((digits, at) => ({ nodeId: digits.repeat(32), name: `host ${at}`, address: `10.0.0.${at}:7440` }));

let dataDir: string;
let path: string;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'sameroot-recovery-'));
  path = join(dataDir, 'recovery.json');
});
afterEach(() => rmSync(dataDir, { recursive: true }));

test('what was written is read again, and it is for nobody else to read', () => {
  expect([hasRecovery(realDisk, dataDir), readRecovery(realDisk, dataDir)]).toEqual([false, undefined]);
  writeRecovery(realDisk, dataDir, { share, members });
  expect(hasRecovery(realDisk, dataDir)).toBe(true);
  expect(readRecovery(realDisk, dataDir)).toEqual({ share, members: members.toReversed() });
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test('it is written only where it says something new, and holds nothing but names', () => {
  const hosts = members.map((member) => ({ ...member, secret: 'never' }));
  writeRecovery(realDisk, dataDir, { share, members: hosts });
  const { ino } = statSync(path);
  writeRecovery(realDisk, dataDir, { share, members: hosts.toReversed() });
  expect(statSync(path).ino).toBe(ino);
  expect(readFileSync(path, 'utf8')).not.toContain('never');
  writeRecovery(realDisk, dataDir, { share, members: hosts.slice(1) });
  expect(statSync(path).ino).not.toBe(ino);
  expect(readRecovery(realDisk, dataDir)?.members).toEqual(members.slice(1));
});

test.each([
  ['no JSON', () => '{'],
  ['another format', (text: string) => text.replace('"format": 1', '"format": 2')],
  ['half a share', (text: string) => text.replace(/"share": "(..)/, '"share": "')],
  ['no list of members', (text: string) => text.replace('"members": [', '"others": [')],
  ['nothing', () => ''],
])('%s is as none', (_, spoil) => {
  writeRecovery(realDisk, dataDir, { share, members });
  const text = readFileSync(path, 'utf8');
  expect(spoil(text)).not.toBe(text);
  writeFileSync(path, spoil(text));
  expect(readRecovery(realDisk, dataDir)).toBeUndefined();
});

test('members that are none are left out', () => {
  writeRecovery(realDisk, dataDir, { share, members });
  writeFileSync(path, readFileSync(path, 'utf8').replace('bc'.repeat(32), '../x'));
  expect(readRecovery(realDisk, dataDir)?.members).toEqual([members[0]]);
});
