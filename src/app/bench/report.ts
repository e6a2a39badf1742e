/** What was measured, in words, for `bench`. */
import { formatBytes, formatCount } from '../quantities.ts';
import { columns, paint, printable, type Terminal } from '../terminal.ts';
import { firstSync, type Bound, type Figures, type Stage } from './first-sync.ts';

export interface BenchReport {
  readonly folder: string;
  readonly inMemory: boolean;
  readonly cores: number;
  /** Load average of the minute before: how many cores other processes asked for. */
  readonly loadBefore: number;
  readonly seconds: number;
  readonly figures: Figures;
  readonly profiles: readonly string[];
}

/** Below this it hardly shows in the figures. */
const LOAD_TOLD = 0.5;

type Unit = (perSecond: number) => string;

const bytesUnit: Unit = (perSecond) => `${formatBytes(Math.round(perSecond))}/s`;
const filesUnit: Unit = (perSecond) => `${formatCount(Math.round(perSecond))} files/s`;

const WORK: Readonly<Record<Stage, string>> = {
  source: 'reading, cutting and hashing at the source',
  network: 'encrypting and copying between the hosts',
  target: 'verifying, writing and flushing at the target',
};

export function describeBench(terminal: Terminal, report: BenchReport): string {
  const { figures, folder, cores, seconds } = report;
  const { hash, chunkScan, large, small, loopback } = figures;
  const bound = firstSync(figures);
  const line = ({ bytesPerSecond, roundTripMs }: Figures['loopback']['tls']): string[] => [
    bytesUnit(bytesPerSecond),
    `round trip ${roundTripMs.toFixed(2)} ms`,
  ];
  const rows = [
    ['hash', `BLAKE3, ${hash.implementation === 'native' ? 'native' : 'JavaScript'}`, bytesUnit(hash.bytesPerSecond)],
    ['', 'borders of chunks', bytesUnit(chunkScan.bytesPerSecond)],
    ['large file', 'verify, write, flush, commit', bytesUnit(large.targetBytesPerSecond), formatBytes(large.bytes)],
    ['', 'read, cut, hash, commit', bytesUnit(large.sourceBytesPerSecond)],
    ['', 'read for a peer', bytesUnit(large.readBytesPerSecond)],
    [
      'small files',
      'verify, write, flush, commit',
      filesUnit(small.targetFilesPerSecond),
      `${formatCount(small.files)} of ${formatBytes(small.fileBytes)}`,
    ],
    ['', 'read, cut, hash, commit', filesUnit(small.sourceFilesPerSecond)],
    ['loopback', 'TLS', ...line(loopback.tls)],
    ['', 'plain text', ...line(loopback.plain)],
  ];
  const head = `${paint(terminal, 'bold', printable(folder))}   ${cores} cores   measured in ${seconds.toFixed(1)} s\n`;
  return `${head}${columns(rows)}\n${describeBound('large files', bound.large, bytesUnit)}${describeBound('small files', bound.small, filesUnit)}${notes(report)}`;
}

function describeBound(what: string, { boundBy, perSecond, stages, lineBitsPerSecond }: Bound, unit: Unit): string {
  const others = (Object.keys(stages) as Stage[]).filter((stage) => stage !== boundBy);
  const rest = others.map((stage) => `${WORK[stage]}: ${unit(stages[stage])}`).join('; ');
  return (
    `A first sync of ${what} is bound by ${WORK[boundBy]}: ${unit(perSecond)} at most.\n` +
    `  (${rest}.)\n  A line of less than ${bitsText(lineBitsPerSecond)} between the hosts would be the bound instead.\n`
  );
}

function bitsText(perSecond: number): string {
  return perSecond >= 1e9 ? `${(perSecond / 1e9).toFixed(1)} Gbit/s` : `${Math.max(1, Math.round(perSecond / 1e6))} Mbit/s`;
}

function notes({ figures, inMemory, loadBefore, profiles }: BenchReport): string {
  const lines = ['Files were read from memory, where they were just written; both hosts were taken to be like this one.'];
  if (loadBefore >= LOAD_TOLD) lines.push(`The load average was ${loadBefore.toFixed(1)} before this began: a quiet host does more.`);
  if (inMemory) lines.push('This folder is in memory: its figures say nothing about a disk. Name a folder on the disk in question.');
  if (figures.hash.implementation === 'noble')
    lines.push('The native package @napi-rs/blake-hash did not load: hashing is up to 100 times slower.');
  for (const file of profiles) lines.push(`profile: ${printable(file)} (Chrome: DevTools, Performance, Load)`);
  return `${lines.join('\n')}\n`;
}
