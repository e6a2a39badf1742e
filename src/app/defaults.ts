/**
 * What holds where nothing was set. Apart from config.ts, so that the command line can show it without loading the
 * parts that check settings: they take longer than a `status` does.
 */
import type { Address } from '../node/node-api.ts';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface Defaults {
  readonly listen: Address;
  readonly http: Address;
  readonly pullEvery: string;
  readonly settle: string;
  readonly rescan: string;
  readonly inviteExpires: string;
  readonly waitTimeout: string;
}

export const DEFAULTS: Defaults = {
  listen: { host: '127.0.0.1', port: 7440 },
  http: { host: '127.0.0.1', port: 0 },
  pullEvery: '30s',
  settle: '300ms',
  rescan: '1h',
  inviteExpires: '1h',
  waitTimeout: '60s',
};

/** As the folders in the trash are called: UTC. */
export const DAY_PATTERN: RegExp = /^\d{4}-\d{2}-\d{2}$/;

/** Items in one answer of a list. */
export const LIST_LIMIT_MAX = 10_000;
export const LIST_LIMIT_DEFAULT = 1000;
