/**
 * Every verb of the command line: arguments, options, help, example, and what runs it. The parts that do the work are
 * loaded when their verb is called, so that `status` does not wait for the parts of a node to load.
 *
 * Invariant: an option that is listed works. Options that are not built are not offered.
 */
import { SamerootError } from '../base/errors.ts';
import { VERSIONS_MAX } from '../base/limits.ts';
import { DEFAULTS, LIST_LIMIT_MAX, LOG_LEVELS } from './defaults.ts';
import { formatAddress, parseDuration } from './quantities.ts';
import type { VerbContext } from './terminal.ts';

/** As the command line gives them: `pullEvery` for `--pull-every`, and only those that were typed or have a default. */
export type Options = Readonly<Record<string, unknown>>;

export interface OptionSpec {
  readonly flags: string;
  readonly description: string;
  /** Given the text and the value so far. @throws {RangeError} saying what the value must be */
  readonly parse?: (text: string, before: unknown) => unknown;
  readonly default?: { readonly value: unknown; readonly text: string };
}

export interface Verb {
  readonly name: string;
  readonly summary: string;
  /** `[x]` optional, `<x>` required. */
  readonly usage: readonly (readonly [name: string, description: string])[];
  readonly options: readonly OptionSpec[];
  readonly example: string;
  /** Returns the exit code. */
  readonly action: (options: Options, ...positional: (string | undefined)[]) => Promise<number>;
}

export function makeVerbs(context: VerbContext): readonly Verb[] {
  return [...nodeVerbs(context), ...statusVerbs(context), ...shareVerbs(context), ...recordVerbs(context)];
}

const FOLDER = ['[FOLDER]', 'the shared folder (default: the current one, or one above it, that a node runs for)'] as const;
const KEY = ['<KEY>', 'key of the record'] as const;

function option(flags: string, description: string): OptionSpec {
  return { flags, description };
}

function folderOption(): OptionSpec {
  return option('--folder <folder>', 'the shared folder (default: the current one, or one above it, that a node runs for)');
}

function watchOption(): OptionSpec {
  return option('--watch', 'show it again whenever it changes');
}

function durationOption(flags: string, description: string, defaultText?: string): OptionSpec {
  const spec = { flags, description, parse: durationArgument };
  return defaultText === undefined ? spec : { ...spec, default: { value: durationArgument(defaultText), text: defaultText } };
}

function durationArgument(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new RangeError('It must be a duration such as 300ms, 30s or 1h.');
  return ms;
}

function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new RangeError(`It must be a whole number from ${min} to ${max}.`);
  };
}

function limitOption(description: string): OptionSpec {
  return { flags: '--limit <count>', description, parse: wholeNumber(1, LIST_LIMIT_MAX) };
}

function nameList(text: string): string[] {
  return text.split(',').map((name) => name.trim());
}

function repeated(text: string, before: unknown): string[] {
  return [...((before as string[] | undefined) ?? []), text];
}

/** Settings keep the text that was typed: config.ts checks it together with environment and file. */
function settingOptions(): OptionSpec[] {
  return [
    { flags: '--join <host:port>', description: 'a peer with a running node; repeat it for more', parse: repeated },
    option('--listen <host:port>', `address for peers (default: ${formatAddress(DEFAULTS.listen)}, or the next free port)`),
    option('--http <host:port>', 'address of the API (default: 127.0.0.1 and any free port)'),
    option('--token <token>', 'the invitation of a host of the share; better in SAMEROOT_TOKEN, which `ps` does not show'),
    option('--share <name>', "name of a new share (default: the folder's name)"),
    option('--data <folder>', 'where the database lives (default: FOLDER/.sameroot)'),
    option('--pull-every <duration>', `ask each peer for its root this often (default: ${DEFAULTS.pullEvery})`),
    option('--settle <duration>', `take a change in when the file was quiet this long (default: ${DEFAULTS.settle})`),
    option('--rescan <duration>', `look at every file this often (default: ${DEFAULTS.rescan})`),
    option('--min-free <size>', 'stop taking in data below this free space (default: 1 % of the disk, at most 1GiB)'),
    option('--insecure', 'no encryption; loopback addresses only'),
    option('--config <file>', 'TOML file with the same names; a flag or SAMEROOT_NAME in the environment wins over it'),
    logLevelOption(),
  ];
}

function logLevelOption(): OptionSpec {
  return option('--log-level <level>', `${LOG_LEVELS.join(', ')} (default: info, on a terminal warn)`);
}

/** commander gives `pullEvery` for `--pull-every`; settings go by the flag's name. */
function asFlags(options: Options): Record<string, unknown> {
  const kebab = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return Object.fromEntries(Object.entries(options).map(([name, value]) => [kebab(name), value]));
}

function folderOf(options: Options, positional: string | undefined): string | undefined {
  return positional ?? (options['folder'] as string | undefined);
}

function nodeVerbs(context: VerbContext): readonly Verb[] {
  return [
    {
      name: 'start',
      summary: 'run the node for a folder, until SIGINT or SIGTERM',
      usage: [['[FOLDER]', 'the folder to share, made if it is missing (default: the current one)']],
      options: settingOptions(),
      example: 'sameroot start data --join 10.0.0.7:7440 --token TOKEN',
      action: async (options, folder) =>
        (await import('./verbs-start.ts')).startVerb(context, { ...asFlags(options), ...(folder === undefined ? {} : { folder }) }),
    },
    {
      name: 'sync',
      summary: 'bring two folders, or a folder and a running node, to the same root, once',
      usage: [
        ['<SOURCE>', 'a folder, or HOST:PORT of a running node'],
        ['<TARGET>', 'a folder (made if it is missing), or HOST:PORT of a running node'],
      ],
      options: [
        option('--token <token>', 'the invitation of the running node; better in SAMEROOT_TOKEN'),
        durationOption('--timeout <duration>', 'give up after this time (default: never)'),
        option('--min-free <size>', 'stop taking in data below this free space (default: 1 % of the disk, at most 1GiB)'),
        option('--insecure', 'no encryption; loopback addresses only'),
        logLevelOption(),
      ],
      example: 'sameroot sync data /mnt/copy',
      action: async (options, source, target) => {
        const { timeout, ...rest } = options as { readonly timeout?: number };
        return (await import('./verbs-sync.ts')).syncVerb(context, { source: source!, target: target! }, asFlags(rest), timeout);
      },
    },
  ];
}

function statusVerbs(context: VerbContext): readonly Verb[] {
  return [
    {
      name: 'status',
      summary: 'in sync or not, with root, peers and problems',
      usage: [FOLDER],
      options: [folderOption(), option('--check', 'exit with 5 if not in sync, 6 if held'), watchOption()],
      example: 'sameroot status data --check',
      action: async (options, folder) =>
        (await import('./verbs-status.ts')).statusVerb(context, { ...options, folder: folderOf(options, folder) }),
    },
    {
      name: 'wait',
      summary: 'return when every peer holds what is here now, on disk; exit with 4 on time-out',
      usage: [FOLDER],
      options: [
        folderOption(),
        option('--root <hash>', 'wait for this root or a later one that contains it'),
        { flags: '--peers <names>', description: 'these peers only: names or node ids, separated by commas', parse: nameList },
        durationOption('--timeout <duration>', 'give up after this time', DEFAULTS.waitTimeout),
      ],
      example: 'sameroot wait data --timeout 5m && start-training',
      action: async (options, folder) =>
        (await import('./verbs-status.ts')).waitVerb(context, { ...(options as { timeout: number }), folder: folderOf(options, folder) }),
    },
    {
      name: 'diff',
      summary: 'the keys that differ from a peer, how, and how many bytes',
      usage: [FOLDER, ['[PEER]', 'name or node id (default: the only peer that is connected)']],
      options: [folderOption(), limitOption('at most this many keys'), option('--check', 'exit with 5 if there are differences')],
      example: 'sameroot diff data host-b --json',
      action: async (options, folder, peer) =>
        (await import('./verbs-status.ts')).diffVerb(context, { ...options, folder: folderOf(options, folder), peer }),
    },
    {
      name: 'peers',
      summary: 'the peers and how far each one is',
      usage: [FOLDER],
      options: [folderOption(), watchOption()],
      example: 'sameroot peers data --watch',
      action: async (options, folder) =>
        (await import('./verbs-status.ts')).peersVerb(context, { ...options, folder: folderOf(options, folder) }),
    },
  ];
}

function shareVerbs(context: VerbContext): readonly Verb[] {
  return [
    {
      name: 'invite',
      summary: 'print the command that makes the next host join',
      usage: [FOLDER],
      options: [folderOption(), durationOption('--expires <duration>', 'how long the invitation is good for', DEFAULTS.inviteExpires)],
      example: 'sameroot invite data --expires 24h',
      action: async (options, folder) =>
        (await import('./verbs-share.ts')).inviteVerb(context, { ...(options as { expires: number }), folder: folderOf(options, folder) }),
    },
    {
      name: 'deletes',
      summary: 'answer a mass delete that is held: accept it everywhere, or restore the files',
      usage: [['<ANSWER>', 'accept or restore'], FOLDER],
      options: [folderOption()],
      example: 'sameroot deletes restore data',
      action: async (options, answer, folder) => {
        if (answer !== 'accept' && answer !== 'restore') throw new SamerootError('CONFIG_INVALID', 'ANSWER: must be accept or restore');
        return (await import('./verbs-share.ts')).deletesVerb(context, { ...options, answer, folder: folderOf(options, folder) });
      },
    },
  ];
}

function recordVerbs(context: VerbContext): readonly Verb[] {
  return [
    {
      name: 'ls',
      summary: 'list keys: f/PATH for files, r/KEY for records',
      usage: [['[PREFIX]', 'only keys that begin with it']],
      options: [folderOption(), option('--after <key>', 'only keys after this one'), limitOption('at most this many keys')],
      example: 'sameroot ls f/models/ --folder data',
      action: async (options, prefix) => (await import('./verbs-records.ts')).listVerb(context, { ...options, prefix }),
    },
    {
      name: 'put',
      summary: 'write a record',
      usage: [KEY, ['[FILE]', 'where the value is (default, or -: standard input)']],
      options: [folderOption(), option('--if-match <etag>', 'only if the record is still as this ETag of `get --json` saw it')],
      example: 'sameroot put labels/42 label.json --folder data',
      action: async (options, key, file) => (await import('./verbs-records.ts')).putVerb(context, { ...options, key: key!, file }),
    },
    {
      name: 'get',
      summary: 'print the value of a record',
      usage: [KEY],
      options: [
        folderOption(),
        {
          flags: '--sibling <number>',
          description: 'a concurrent version that lost, 0 is the newest',
          parse: wholeNumber(0, VERSIONS_MAX),
        },
      ],
      example: 'sameroot get labels/42 --folder data > label.json',
      action: async (options, key) => (await import('./verbs-records.ts')).getVerb(context, { ...options, key: key! }),
    },
    {
      name: 'rm',
      summary: 'delete a record',
      usage: [KEY],
      options: [folderOption()],
      example: 'sameroot rm labels/42 --folder data',
      action: async (options, key) => (await import('./verbs-records.ts')).removeVerb(context, { ...options, key: key! }),
    },
  ];
}
