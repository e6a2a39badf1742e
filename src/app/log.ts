/**
 * The log: JSON lines on stderr for a collector, readable lines for a person at a terminal. Errors and bytes are written
 * as text here, so that no caller has to think about it.
 */
import { pino, type Logger } from 'pino';
import pretty from 'pino-pretty';
import { toHex } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import type { Log, LogFields } from '../base/world.ts';
import type { LogLevel } from './defaults.ts';

const STDERR = 2;

export interface LogOptions {
  readonly level: LogLevel;
  /** For a person; otherwise JSON. */
  readonly readable: boolean;
  readonly colors: boolean;
}

/** Written synchronously: the last line before a crash is the one that matters. */
export function createLog(options: LogOptions): Log {
  const settings = { level: options.level, base: { pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime };
  const logger = options.readable
    ? pino(settings, pretty({ destination: STDERR, sync: true, colorize: options.colors, ignore: 'pid', translateTime: 'SYS:HH:MM:ss.l' }))
    : pino(settings, pino.destination({ dest: STDERR, sync: true }));
  return logTo(logger);
}

function logTo(logger: Logger): Log {
  return {
    debug: (message, fields) => logger.debug(plainFields(fields), message),
    info: (message, fields) => logger.info(plainFields(fields), message),
    warn: (message, fields) => logger.warn(plainFields(fields), message),
    error: (message, fields) => logger.error(plainFields(fields), message),
  };
}

function plainFields(fields: LogFields = {}): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, plainValue(value)]));
}

function plainValue(value: unknown): unknown {
  if (value instanceof Uint8Array) return toHex(value);
  if (value instanceof SamerootError) return { code: value.code, message: value.message, path: value.path, stack: value.stack };
  if (value instanceof Error) return { message: value.message, stack: value.stack };
  return value;
}
