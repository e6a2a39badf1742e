/**
 * Sizes, durations and addresses as people write them (`1GiB`, `300ms`, `10.0.0.7:7440`), read and written.
 *
 * Invariant: what `parse*` accepts has one meaning only; an amount without a unit is refused, because `--settle 300`
 * would mean seconds to one reader and milliseconds to the next. Zero needs no unit.
 */
import type { Address } from '../node/node-api.ts';

const BYTES_PER_UNIT: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
};

const MS_PER_UNIT: Readonly<Record<string, number>> = { ms: 1, s: 1e3, m: 60e3, h: 3_600e3, d: 86_400e3 };

/** Timers of Node.js hold 31 bits of milliseconds, about 24.8 days; a longer one would fire at once. */
export const DURATION_MS_MAX: number = 2 ** 31 - 1;

/** Whole bytes of `200MB`, `1.5GiB`, `0`; undefined if `text` is no size. Units are read in either case. */
export function parseSize(text: string): number | undefined {
  return parseAmount(text, (unit) => BYTES_PER_UNIT[unit.toUpperCase()], Number.MAX_SAFE_INTEGER);
}

/** Whole milliseconds of `300ms`, `30s`, `1.5h`, `0`; undefined if `text` is no duration or over 24 days. */
export function parseDuration(text: string): number | undefined {
  return parseAmount(text, (unit) => MS_PER_UNIT[unit], DURATION_MS_MAX);
}

function parseAmount(text: string, scaleOf: (unit: string) => number | undefined, max: number): number | undefined {
  const parts = /^(\d+(?:\.\d+)?) ?([A-Za-z]*)$/.exec(text.trim());
  if (parts === null) return undefined;
  const amount = Number(parts[1]);
  const scale = parts[2] === '' ? (amount === 0 ? 1 : undefined) : scaleOf(parts[2]!);
  if (scale === undefined) return undefined;
  const result = Math.round(amount * scale);
  return result <= max ? result : undefined;
}

/** The parts of `HOST:PORT` or `[IPV6]:PORT`; undefined if `text` is no address. */
export function parseAddress(text: string): Address | undefined {
  const parts = /^(?:\[([0-9A-Fa-f:.%]+)\]|([^\s:/[\]@]+)):(\d{1,5})$/.exec(text.trim());
  if (parts === null) return undefined;
  const host = parts[1] ?? parts[2]!;
  const port = Number(parts[3]);
  return port <= 65_535 ? { host, port } : undefined;
}

export function formatAddress(address: Address): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** Decimal units with three digits, as disks are sold: `5.61 GB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB', 'PB'];
  let amount = bytes;
  let unit = 0;
  // 999.5 would be rounded to 1000 of this unit: it is 1.00 of the next.
  while (amount >= (unit === 0 ? 1000 : 999.5) && unit < units.length - 1) {
    amount /= 1000;
    unit++;
  }
  if (unit === 0) return `${amount} B`;
  return `${amount.toFixed(amount < 9.995 ? 2 : amount < 99.95 ? 1 : 0)} ${units[unit]!}`;
}

export function formatCount(count: number): string {
  return count.toLocaleString('en-US');
}

/** `1 file`, `2 files`, `1,234 files`. */
export function formatPlural(count: number, one: string, many: string = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

/** `12 ms`, `3.4 s`, `65 s`, `5 min`, `2 h`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

/** Enough of a hash to tell two apart by eye; `-` where there is none yet. */
export function formatRoot(hex: string): string {
  return hex === '' ? '-' : `${hex.slice(0, 8)}...`;
}
