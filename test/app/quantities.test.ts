import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DURATION_MS_MAX,
  formatAddress,
  formatBytes,
  formatPlural,
  formatSeconds,
  parseAddress,
  parseDuration,
  parseSize,
} from '../../src/app/quantities.ts';

describe('sizes', () => {
  it.each([
    ['0', 0],
    ['1B', 1],
    ['200MB', 200e6],
    ['1GiB', 2 ** 30],
    ['1.5 KiB', 1536],
    ['2tb', 2e12],
    ['1gib', 2 ** 30],
  ])('%s', (text, bytes) => expect(parseSize(text)).toBe(bytes));

  it.each(['', '1', '-1B', 'GiB', '1GiBB', '1e3B', '1,5KB', '1s', '0x10B', '9999999999TB', 'NaN'])('refuses %j', (text) => {
    expect(parseSize(text)).toBeUndefined();
  });
});

describe('durations', () => {
  it.each([
    ['0', 0],
    ['300ms', 300],
    ['30s', 30_000],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['1.5h', 5_400_000],
    ['2d', 172_800_000],
  ])('%s', (text, ms) => expect(parseDuration(text)).toBe(ms));

  it.each(['', '300', '1H', '1MS', '5 minutes', '-1s', 's', '25d', '1h30m'])('refuses %j', (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });

  it('never gives a time that a timer can not hold', () => {
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom('ms', 's', 'm', 'h', 'd'), (amount, unit) => {
        const ms = parseDuration(`${amount}${unit}`);
        return ms === undefined || (Number.isInteger(ms) && ms >= 0 && ms <= DURATION_MS_MAX);
      }),
    );
  });
});

describe('addresses', () => {
  it.each([
    ['127.0.0.1:7440', '127.0.0.1', 7440],
    ['host-b.example:1', 'host-b.example', 1],
    ['[::1]:65535', '::1', 65_535],
    ['localhost:0', 'localhost', 0],
  ])('%s', (text, host, port) => {
    expect(parseAddress(text)).toEqual({ host, port });
    expect(formatAddress({ host, port })).toBe(text);
  });

  it.each(['', 'host', ':80', 'host:', 'host:65536', 'host:1x', '::1:80', '[::1]', 'http://host:80', 'a/b:80', 'a b:80', 'u@h:80'])(
    'refuses %j',
    (text) => {
      expect(parseAddress(text)).toBeUndefined();
    },
  );
});

describe('what people read', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.00 KB'],
    [9_994, '9.99 KB'],
    [9_996, '10.0 KB'],
    [999_499, '999 KB'],
    [999_500, '1.00 MB'],
    [5_610_000_000, '5.61 GB'],
  ])('%d bytes: %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));

  it('has three digits at most, whatever the size', () => {
    fc.assert(fc.property(fc.nat({ max: 9e15 }), (bytes) => formatBytes(bytes).replace(/[^0-9]/g, '').length <= 3));
  });

  it('counts', () => {
    expect([formatPlural(1, 'peer'), formatPlural(0, 'peer'), formatPlural(1234, 'entry', 'entries')]).toEqual([
      '1 peer',
      '0 peers',
      '1,234 entries',
    ]);
    expect([0.0123, 3.44, 65, 300, 8000].map(formatSeconds)).toEqual(['12 ms', '3.4 s', '65 s', '5 min', '2 h']);
  });
});
