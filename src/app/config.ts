/**
 * Settings and requests from outside, checked: flags, SAMEROOT_* variables, a TOML file, HTTP queries and bodies. One
 * schema says what each setting may be, wherever it comes from.
 *
 * Invariant: flag > environment > file > default, per setting; a value that is refused is named by where it was written
 * (`--settle`, `SAMEROOT_SETTLE`, `node.toml: settle`), and an unknown name in the file is refused, because a misspelt
 * setting that is silently ignored is found out too late.
 */
import { readFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { parse as parseToml } from 'smol-toml';
import { z } from 'zod';
import { messageOf, SamerootError } from '../base/errors.ts';
import { NAME_TEXT_BYTES_MAX, PEERS_MAX } from '../base/limits.ts';
import type { Address, NodeOptions } from '../node/node-api.ts';
import { DAY_PATTERN, DEFAULTS, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, LOG_LEVELS, type LogLevel } from './defaults.ts';
import { DURATION_MS_MAX, parseAddress, parseDuration, parseSize } from './quantities.ts';

/** What `start` and `sync` need beyond the folder. */
export interface StartConfig {
  readonly node: NodeOptions;
  readonly http: Address;
  /** Undefined: chosen by where the log goes. */
  readonly logLevel: LogLevel | undefined;
}

/** Below these a timer would do nothing else than run. */
const PULL_EVERY_MS_MIN = 100;
const RESCAN_MS_MIN = 1000;

const text = z.string().min(1, 'must not be empty');
const shareName = text.refine((name) => Buffer.byteLength(name) <= NAME_TEXT_BYTES_MAX, `must be at most ${NAME_TEXT_BYTES_MAX} bytes`);
const amountText = z.union([z.string(), z.number().transform(String)]);
const address = text.transform((value, context) => parseAddress(value) ?? refuse(context, `${show(value)} is not HOST:PORT`));
const size = amountText.transform(
  (value, context) => parseSize(value) ?? refuse(context, `${show(value)} is not a size such as 1GiB or 200MB`),
);
const flag = z.union([z.boolean(), z.stringbool()], 'must be true or false');
const addresses = z.union([z.array(text), text.transform((value) => value.split(',').map((part) => part.trim()))]);
const logLevel = z.enum(LOG_LEVELS, `must be one of ${LOG_LEVELS.join(', ')}`);

const settingsSchema = z.strictObject({
  folder: text.optional(),
  join: addresses.pipe(z.array(address).max(PEERS_MAX)).optional(),
  listen: address.optional(),
  http: address.optional(),
  token: text.optional(),
  share: shareName.optional(),
  data: text.optional(),
  'pull-every': duration(PULL_EVERY_MS_MIN).optional(),
  settle: duration(0).optional(),
  rescan: duration(RESCAN_MS_MIN).optional(),
  'min-free': size.optional(),
  insecure: flag.optional(),
  'log-level': logLevel.optional(),
});

type SettingName = keyof z.input<typeof settingsSchema>;

const SETTING_NAMES = Object.keys(settingsSchema.shape) as SettingName[];

export interface ConfigSources {
  /** As the command line gives them, by the flag's name without dashes (`pull-every`); `config` names the file. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Where relative paths of flags and variables start; those of the file start at the file's folder. */
  readonly currentFolder: string;
}

/** @throws {SamerootError} `CONFIG_INVALID`, naming the setting and where it was written */
export function loadStartConfig(sources: ConfigSources): StartConfig {
  const { flags, environment, currentFolder } = sources;
  const configFile = flags['config'] ?? environment['SAMEROOT_CONFIG'];
  const file = typeof configFile === 'string' && configFile !== '' ? readConfigFile(resolve(currentFolder, configFile)) : undefined;
  const chosen: Record<string, unknown> = { ...file?.settings };
  const origins = new Map<string, string>(Object.keys(chosen).map((name) => [name, `${file!.path}: ${name}`]));
  const bases = new Map<string, string>(Object.keys(chosen).map((name) => [name, dirname(file!.path)]));
  for (const name of SETTING_NAMES) {
    const variable = `SAMEROOT_${name.toUpperCase().replaceAll('-', '_')}`;
    const [value, origin] = flags[name] !== undefined ? [flags[name], `--${name}`] : [environment[variable], variable];
    // An empty variable is how shells and compose files write "not set".
    if (value === undefined || value === '') continue;
    chosen[name] = value;
    origins.set(name, origin);
    bases.set(name, currentFolder);
  }
  const parsed = settingsSchema.safeParse(chosen);
  if (!parsed.success) throw configError(parsed.error, (name) => origins.get(name) ?? file?.path ?? name);
  const settings = parsed.data;
  const folder = resolve(bases.get('folder') ?? currentFolder, settings.folder ?? '.');
  return {
    node: {
      folder,
      dataDir: settings.data === undefined ? join(folder, '.sameroot') : resolve(bases.get('data') ?? currentFolder, settings.data),
      shareName: settings.share ?? (basename(folder).slice(0, NAME_TEXT_BYTES_MAX / 4) || 'share'),
      listen: settings.listen ?? DEFAULTS.listen,
      listenAnyPort: settings.listen === undefined,
      advertise: true,
      join: settings.join ?? [],
      token: settings.token,
      insecure: settings.insecure ?? false,
      settleMs: settings.settle ?? parseDuration(DEFAULTS.settle)!,
      rescanMs: settings.rescan ?? parseDuration(DEFAULTS.rescan)!,
      pullEveryMs: settings['pull-every'] ?? parseDuration(DEFAULTS.pullEvery)!,
      minFreeBytes: settings['min-free'],
    },
    http: settings.http ?? DEFAULTS.http,
    logLevel: settings['log-level'],
  };
}

function readConfigFile(path: string): { readonly path: string; readonly settings: Readonly<Record<string, unknown>> } {
  let content: string;
  try {
    content = readFileSync(path, 'utf8');
  } catch (error) {
    throw new SamerootError('CONFIG_INVALID', `--config: cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
  try {
    return { path, settings: parseToml(content) };
  } catch (error) {
    const [reason] = messageOf(error).split('\n');
    throw new SamerootError('CONFIG_INVALID', `${path} is not TOML: ${reason ?? ''}`, { cause: error });
  }
}

const limit = z.coerce
  .number()
  .int('must be a whole number')
  .min(1, 'must be at least 1')
  .max(LIST_LIMIT_MAX, `must be at most ${LIST_LIMIT_MAX}`);
const hexRoot = z.string().regex(/^[0-9a-f]{64}$/i, 'must be a root of 64 hexadecimal digits');
const day = z.string().regex(DAY_PATTERN, 'must be a day such as 2026-11-23');
const milliseconds = z.number().int('must be a whole number').min(0).max(DURATION_MS_MAX);

/** What may come with an HTTP request, by resource, with the defaults filled in. */
export interface Requests {
  readonly diff: { readonly peer?: string | undefined; readonly limit: number };
  readonly list: { readonly prefix: string; readonly after?: string | undefined; readonly limit: number };
  readonly record: { readonly sibling?: number | undefined };
  readonly wait: { readonly root?: string | undefined; readonly peers?: readonly string[] | undefined; readonly timeoutMs: number };
  readonly invite: { readonly expiresMs: number };
  readonly deletes: { readonly answer: 'accept' | 'restore' };
  readonly evict: { readonly peer: string };
  readonly page: { readonly after?: string | undefined; readonly limit: number };
  readonly resolve: { readonly key: string; readonly keep: string; readonly ifMatch?: string | undefined };
  readonly why: { readonly path?: string | undefined; readonly key?: string | undefined };
  readonly restore: {
    readonly path: string;
    readonly as?: string | undefined;
    readonly day?: string | undefined;
    readonly force: boolean;
  };
}

const requests: { readonly [Name in keyof Requests]: z.ZodType<Requests[Name]> } = {
  diff: z.strictObject({ peer: text.optional(), limit: limit.default(LIST_LIMIT_DEFAULT) }),
  list: z.strictObject({ prefix: z.string().default(''), after: text.optional(), limit: limit.default(LIST_LIMIT_DEFAULT) }),
  record: z.strictObject({ sibling: z.coerce.number().int('must be a whole number').min(0).optional() }),
  wait: z.strictObject({
    root: hexRoot.optional(),
    peers: z.array(text).min(1).max(PEERS_MAX).optional(),
    timeoutMs: milliseconds.default(parseDuration(DEFAULTS.waitTimeout)!),
  }),
  invite: z.strictObject({ expiresMs: milliseconds.min(1).default(parseDuration(DEFAULTS.inviteExpires)!) }),
  deletes: z.strictObject({ answer: z.enum(['accept', 'restore'], 'must be accept or restore') }),
  evict: z.strictObject({ peer: text }),
  page: z.strictObject({ after: text.optional(), limit: limit.default(LIST_LIMIT_DEFAULT) }),
  resolve: z.strictObject({ key: text, keep: text, ifMatch: text.optional() }),
  why: z.strictObject({ path: text.optional(), key: text.optional() }),
  restore: z.strictObject({ path: text, as: text.optional(), day: day.optional(), force: z.boolean().default(false) }),
};

/** @throws {SamerootError} `CONFIG_INVALID`, naming the field */
export function parseRequest<Name extends keyof Requests>(name: Name, input: unknown): Requests[Name] {
  const parsed = requests[name].safeParse(input);
  if (!parsed.success) throw configError(parsed.error, (field) => field);
  return parsed.data;
}

function configError(error: z.ZodError, originOf: (name: string) => string): SamerootError {
  const issue = error.issues[0]!;
  const name = String(issue.path[0] ?? '');
  if (issue.code === 'unrecognized_keys') {
    return new SamerootError('CONFIG_INVALID', `${originOf('') || 'request'}: unknown name ${issue.keys.map(show).join(', ')}`);
  }
  return new SamerootError('CONFIG_INVALID', `${originOf(name) || 'request'}: ${issue.message}`);
}

function duration(minMs: number): z.ZodType<number, string | number> {
  return amountText.transform((value, context) => {
    const ms = parseDuration(value);
    if (ms === undefined) return refuse(context, `${show(value)} is not a duration such as 300ms, 30s or 1h`);
    return ms >= minMs ? ms : refuse(context, `${show(value)} is shorter than ${minMs}ms`);
  });
}

/** Names the value, cut short: it may be a megabyte of something else. */
function show(value: string): string {
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}...` : value);
}

function refuse(context: z.RefinementCtx, message: string): never {
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
}
