/** The story of a path, in sentences. Pure: no terminal, no clock. */
import type { Hold, PeerKnowledge, VersionStatus, WhyResult } from '../node/answers.ts';
import { authorName, sizeOf } from './describe-conflicts.ts';
import { formatBytes, formatSeconds } from './quantities.ts';
import { paint, printable, type Terminal } from './terminal.ts';

export function describeWhy(terminal: Terminal, result: WhyResult): string {
  const lines = [
    `${paint(terminal, 'bold', printable(result.key))}: ${summary(result)}`,
    ...result.versions.map((version) => `version  ${describeVersion(version)}`),
    ...result.deletions.map((version) => `deleted  by ${authorName(version)} at ${version.written}`),
    ...disk(result),
    ...result.peers.map((peer) => `peer     ${describePeer(peer, result.versions.length + result.deletions.length > 0)}`),
    ...result.holds.map((hold) => `${paint(terminal, 'yellow', 'held')}     ${describeHold(hold)}`),
    ...trash(result),
  ];
  return `${lines.join('\n')}\n`;
}

function summary({ state, copyOf, versions, key, holds }: WhyResult): string {
  switch (state) {
    case 'conflict-copy':
      return `a conflict copy of ${printable(copyOf ?? '')}: edit or rename it to make it a file of its own, delete it to drop the version`;
    case 'conflict':
      return `${versions.length} versions that were written without knowing of each other`;
    case 'deleted':
      return 'deleted';
    case 'unknown':
      return holds.length > 0 ? 'not replicated' : 'nothing is known of it';
    case 'present':
      return key.startsWith('r/') ? 'a record' : 'replicated';
  }
}

function describeVersion(version: VersionStatus): string {
  const { name, written, id, found, kind, shown } = version;
  const who = found ? `found on disk (time ${written})` : `written by ${authorName(version)} at ${written}`;
  const where = kind === 'record' || kind === 'blob' || shown ? '' : '; not on this disk';
  return `${printable(name)}   ${sizeOf(version)}, ${who}${where}   (${id})`;
}

function disk({ disk: found }: WhyResult): string[] {
  if (found === undefined) return [];
  const what = found.kind === 'nothing' ? 'nothing is there' : `a ${found.kind === 'directory' ? 'folder' : found.kind} is there`;
  return [`on disk  ${what}${found.asKnown ? '' : ', and that is not taken in yet'}`];
}

/** `something`: there is a version here, so a peer can have the same. */
function describePeer(peer: PeerKnowledge, something: boolean): string {
  const name = printable(peer.name === '' ? peer.nodeId.slice(0, 8) : peer.name);
  const known = peer.state === 'same' && !something ? 'knows nothing of it either' : knowledge(peer);
  const facts = [`${name}: ${peer.connected ? '' : 'not connected; '}${known}`];
  if (peer.nextRetrySeconds !== undefined) facts.push(`next try in ${formatSeconds(peer.nextRetrySeconds)}`);
  if (peer.error !== undefined) facts.push(`${peer.error.code}: ${printable(peer.error.message)}`);
  return facts.join('; ');
}

const STATES: Readonly<Record<PeerKnowledge['state'], readonly [now: string, then: string]>> = {
  same: ['has the same', 'had the same when it was last heard of'],
  behind: ['lacks something of this', 'lacked something of this when it was last heard of'],
  ahead: ['has what is not here yet', 'had what is not here'],
  apart: ['has what is not here yet, and lacks something of this', 'had other versions'],
  unknown: ['it is not known what it has', 'it is not known what it has'],
};

function knowledge({ state, connected, versions }: PeerKnowledge): string {
  const there = (versions ?? []).map((version) => `${sizeOf(version)} by ${authorName(version)} at ${version.written}`);
  const [now, then] = STATES[state];
  const has = versions === undefined || state === 'unknown' ? '' : ` (${there.length === 0 ? 'nothing is there' : there.join(', ')})`;
  return `${connected ? now : then}${has}`;
}

function describeHold({ code, message, nextRetry }: Hold): string {
  const retry = nextRetry === undefined ? '' : `; next try at ${nextRetry}`;
  return `${code === undefined ? '' : `${code}: `}${printable(message)}${retry}`;
}

/** What it takes to have one of them back. */
function trash({ trash: items, key }: WhyResult): string[] {
  const lines = items.map(({ place, bytes, modified }) => `trash    ${printable(place)}   ${formatBytes(bytes)}, of ${modified}`);
  if (items.length > 0) lines.push(`         \`sameroot trash restore ${printable(key.slice(2))}\` brings the newest back`);
  return lines;
}
