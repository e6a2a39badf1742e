/**
 * `recovery.json`, beside the database: what a host must know to come back to its share when the database is lost. The
 * parameters of the share and who the members are, with their addresses; no secrets. The key of this host is in a file of
 * its own, so it is still a member for the others.
 *
 * Invariant: what is there names the share of the database beside it. It is written after the database knows the share, and
 * never while the list of members is still being learnt again.
 */
import { join } from 'node:path';
import { fromHex, toHex, utf8 } from '../base/bytes.ts';
import { systemCode } from '../base/errors.ts';
import { HASH_BYTES, PEERS_MAX } from '../base/limits.ts';
import type { Disk } from '../folder/disk.ts';
import { lstatOrNothing } from '../folder/disk-stat.ts';
import { readText, replaceFile } from '../folder/file-io.ts';
import { asIoError } from '../folder/io-error.ts';
import { decodeShare, encodeShare, type Share } from '../replica/share.ts';
import type { Member } from './members.ts';

const FILE = 'recovery.json';
const FORMAT = 1;

/** Whom this host may talk to, and where. */
export type KnownHost = Pick<Member, 'nodeId' | 'name' | 'address'>;

export interface Recovery {
  readonly share: Share;
  readonly members: readonly KnownHost[];
}

/** Undefined where there is none, or none that can be understood: then the share has to be joined again. */
export function readRecovery(disk: Disk, dataDir: string): Recovery | undefined {
  const path = join(dataDir, FILE);
  let text: string;
  try {
    text = readText(disk, path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined;
    throw asIoError('could not be read', path, error);
  }
  try {
    const { format, share, members } = JSON.parse(text) as Record<string, unknown>;
    if (format !== FORMAT || typeof share !== 'string' || !Array.isArray(members) || members.length > PEERS_MAX) return undefined;
    return { share: decodeShare(fromHex(share)), members: members.filter(isKnownHost) };
  } catch {
    return undefined;
  }
}

export function hasRecovery(disk: Disk, dataDir: string): boolean {
  try {
    return lstatOrNothing(disk, join(dataDir, FILE)) !== undefined;
  } catch (error) {
    throw asIoError('could not be looked at', dataDir, error);
  }
}

/** Says nothing where the file has it already. */
export function writeRecovery(disk: Disk, dataDir: string, { share, members }: Recovery): void {
  const path = join(dataDir, FILE);
  const hosts = members.map(({ nodeId, name, address }): KnownHost => ({ nodeId, name, address }));
  const sorted = hosts.sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
  const text = `${JSON.stringify({ format: FORMAT, share: toHex(encodeShare(share)), members: sorted }, undefined, 1)}\n`;
  try {
    if (disk.lstat(path) !== undefined && readText(disk, path) === text) return;
    replaceFile(disk, path, utf8(text));
  } catch (error) {
    throw asIoError('could not be written', path, error);
  }
}

function isKnownHost(value: unknown): value is KnownHost {
  if (typeof value !== 'object' || value === null) return false;
  const { nodeId, name, address } = value as Record<string, unknown>;
  return typeof nodeId === 'string' && isNodeId(nodeId) && typeof name === 'string' && typeof address === 'string';
}

function isNodeId(text: string): boolean {
  return text.length === 2 * HASH_BYTES && /^[0-9a-f]+$/.test(text);
}
