/** The documents of the API as text for people. Pure: no terminal, no clock. */
import type { DiffResult, ListResult, NodeState, NodeStatus, PeerStatus, ReturnStatus, WaitResult } from '../node/node-api.ts';
import { formatBytes, formatCount, formatPlural, formatRoot, formatSeconds } from './quantities.ts';
import { columns, paint, printable, type Style, type Terminal } from './terminal.ts';

const STATE_STYLES: Readonly<Record<NodeState, Style>> = {
  'in-sync': 'green',
  syncing: 'yellow',
  behind: 'yellow',
  scanning: 'yellow',
  alone: 'dim',
  degraded: 'red',
  held: 'red',
};

export function stateName(state: NodeState): string {
  return state.toUpperCase().replace('-', ' ');
}

/** `IN SYNC   share data   root 3f2a9c01...   1,234 entries   5.61 GB   2 peers` */
export function describeState(terminal: Terminal, status: NodeStatus): string {
  const facts = [
    paint(terminal, STATE_STYLES[status.state], stateName(status.state)),
    `share ${printable(status.share)}`,
    `root ${formatRoot(status.root)}`,
    formatPlural(status.entries, 'entry', 'entries'),
    formatBytes(status.bytes),
    formatPlural(status.peers.length, 'peer'),
  ];
  return facts.join('   ');
}

export function describeStatus(terminal: Terminal, status: NodeStatus): string {
  const lines = [describeState(terminal, status)];
  const { scan, fetch } = status.progress;
  if (status.state === 'scanning') {
    lines.push(`  scanning: ${formatCount(scan.seen)} seen, ${formatCount(scan.hashed)} hashed, ${formatBytes(scan.hashedBytes)}`);
  }
  if (status.pending.fetch > 0) {
    lines.push(
      `  fetching: ${formatCount(fetch.entriesDone)} of ${formatPlural(fetch.entries, 'entry', 'entries')}, ${formatBytes(fetch.bytesDone)} of ${formatBytes(fetch.bytes)}`,
    );
  }
  if (status.syncError.entries > 0) {
    lines.push(`  differing: ${formatPlural(status.syncError.entries, 'entry', 'entries')}, ${formatBytes(status.syncError.bytes)}`);
  }
  if (status.conflicts > 0) lines.push(`  ${formatPlural(status.conflicts, 'conflict')}: see \`sameroot conflicts\``);
  if (status.restored === true) lines.push('  the database was put back to an older state: this host goes on as a new replica');
  if (status.returning !== undefined) lines.push(describeReturn(status.returning));
  for (const peer of status.peers) lines.push(`  peer ${describePeer(peer)}`);
  for (const problem of status.errors) {
    const where = problem.path === undefined ? '' : `${printable(problem.path)}: `;
    lines.push(`  ${paint(terminal, 'red', problem.code)}: ${where}${printable(problem.message)}`);
  }
  return `${lines.join('\n')}\n`;
}

function describeReturn({ done, setAside, quarantine }: ReturnStatus): string {
  const how = done ? 'the database was rebuilt' : 'the database is being rebuilt from the folder and the peers';
  return setAside === 0 ? `  ${how}` : `  ${how}; ${formatPlural(setAside, 'file')} set aside in ${printable(quarantine)}`;
}

function describePeer(peer: PeerStatus): string {
  const facts = [
    `${printable(peer.name)} (${printable(peer.address)})`,
    peerState(peer),
    `sent ${formatBytes(peer.sentBytes)}`,
    `received ${formatBytes(peer.receivedBytes)}`,
  ];
  if (peer.lastAckSeconds !== undefined) facts.push(`confirmed ${formatSeconds(peer.lastAckSeconds)} ago`);
  if (peer.error !== undefined) facts.push(`${peer.error.code}: ${printable(peer.error.message)}`);
  return facts.join('   ');
}

function peerState(peer: PeerStatus): string {
  if (peer.connected && peer.inSync) return 'in sync';
  if (peer.connected) return `lacks ${formatPlural(peer.behind.entries, 'entry', 'entries')}, ${formatBytes(peer.behind.bytes)}`;
  return peer.nextRetrySeconds === undefined ? 'not connected' : `not connected, next try in ${formatSeconds(peer.nextRetrySeconds)}`;
}

export function describePeers(peers: readonly PeerStatus[]): string {
  if (peers.length === 0) return 'no peers; `sameroot invite` prints a join line for the next host\n';
  const rows = peers.map((peer) => [
    printable(peer.name),
    printable(peer.address),
    peer.root === undefined ? '-' : formatRoot(peer.root),
    `sent ${formatBytes(peer.sentBytes)}`,
    `received ${formatBytes(peer.receivedBytes)}`,
    peer.error === undefined ? peerState(peer) : `${peerState(peer)}   ${peer.error.code}: ${printable(peer.error.message)}`,
  ]);
  return columns(rows);
}

export function describeDiff(result: DiffResult): string {
  if (result.here === result.there) return `no differences with ${printable(result.peer)}: both have root ${formatRoot(result.here)}\n`;
  const rows = result.differences.map((difference) => [difference.how, formatBytes(difference.bytes), printable(difference.key)]);
  const more = result.truncated ? ' (the list is cut; see --limit)' : '';
  const { entries, bytes } = result.totals;
  return `${columns(rows)}${formatPlural(entries, 'difference')} with ${printable(result.peer)}, ${formatBytes(bytes)}${more}\n`;
}

export function describeList(result: ListResult): string {
  const rows = result.items.map((item) => [
    item.kind,
    item.mode ?? '-',
    formatBytes(item.bytes),
    item.modified ?? '-',
    item.versions > 1 ? `${printable(item.key)}   (${item.versions} versions)` : printable(item.key),
  ]);
  return columns(rows);
}

export function describeWait(result: WaitResult): string {
  const confirmed = result.peers.filter((peer) => peer.confirmed);
  const missing = result.peers.filter((peer) => !peer.confirmed);
  const root = formatRoot(result.root);
  if (result.done) return `root ${root} is durable on ${confirmed.length === 0 ? 'this host (no peers)' : names(confirmed)}\n`;
  return `root ${root} is not confirmed by ${names(missing)}\n`;
}

function names(peers: WaitResult['peers']): string {
  return peers.map((peer) => printable(peer.name)).join(', ');
}
