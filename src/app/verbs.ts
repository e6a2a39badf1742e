/**
 * Every verb of the command line: arguments, options, help, example, and what runs it. The parts that do the work are
 * loaded when their verb is called, so that `status` does not wait for the parts of a node to load.
 *
 * Invariant: an option that is listed works. Options that are not built are not offered.
 */
import { SamerootError } from '../base/errors.ts';
import { MIB, VERSIONS_MAX } from '../base/limits.ts';
import { BENCH_LIMITS } from './bench/limits.ts';
import { DEFAULTS, LOG_LEVELS } from './defaults.ts';
import { pathVerbs } from './path-verbs.ts';
import { formatAddress } from './quantities.ts';
import { SIMULATE_LIMITS } from './simulate-limits.ts';
import type { VerbContext } from './terminal.ts';
import {
  durationOption,
  FOLDER,
  folderOf,
  folderOption,
  limitOption,
  option,
  sizeArgument,
  watchOption,
  wholeNumber,
  type Options,
  type OptionSpec,
  type Verb,
} from './verb.ts';

export function makeVerbs(context: VerbContext): readonly Verb[] {
  return [
    ...nodeVerbs(context),
    ...statusVerbs(context),
    ...pathVerbs(context),
    ...shareVerbs(context),
    ...recordVerbs(context),
    ...proofVerbs(context),
  ];
}

const KEY = ['<KEY>', 'key of the record'] as const;

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
    repairVerb(context),
  ];
}

function repairVerb(context: VerbContext): Verb {
  const settings = ['--join', '--listen', '--token', '--data', '--min-free', '--insecure', '--config', '--log-level'];
  return {
    name: 'repair',
    summary: 'rebuild a lost or damaged database from the folder and the peers; nothing is deleted',
    usage: [['[FOLDER]', 'the shared folder (default: the current one)']],
    options: [
      ...settingOptions().filter(({ flags }) => settings.includes(flags.split(' ')[0]!)),
      option('--alone', 'no peer is left: what the folder holds is the share; records are lost'),
    ],
    example: 'sameroot repair data --join 10.0.0.7:7440',
    action: async (options, folder) =>
      (await import('./repair.ts')).repairVerb(context, { ...asFlags(options), ...(folder === undefined ? {} : { folder }) }),
  };
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
      name: 'evict',
      summary: 'end the membership of a host: no member talks to it, and nothing waits for it',
      usage: [['<PEER>', 'its name, or the beginning of its node id'], FOLDER],
      options: [folderOption()],
      example: 'sameroot evict host-c data',
      action: async (options, peer, folder) =>
        (await import('./verbs-share.ts')).evictVerb(context, { ...options, peer: peer!, folder: folderOf(options, folder) }),
    },
    {
      name: 'gc',
      summary: 'drop the marks of deleted paths that all members have seen, now and not in the next ten minutes',
      usage: [FOLDER],
      options: [folderOption()],
      example: 'sameroot gc data',
      action: async (options, folder) =>
        (await import('./verbs-share.ts')).collectVerb(context, { ...options, folder: folderOf(options, folder) }),
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

function benchVerb(context: VerbContext): Verb {
  const { bytesMin, bytesMax, bytesDefault } = BENCH_LIMITS;
  return {
    name: 'bench',
    summary: 'measure hash, disk and connections of this host, and say what a first sync would be bound by',
    usage: [['[FOLDER]', "a folder on the disk to measure (default: the system's temporary folder)"]],
    options: [
      {
        flags: '--bytes <size>',
        description: `of the large file (default: ${bytesDefault / MIB}MiB, less on a slow disk)`,
        parse: sizeArgument(bytesMin, bytesMax),
      },
      option('--quick', 'smaller files and shorter runs: figures within a second or two, less exact'),
      option('--profile <file>', "write CPU profiles for Chrome's DevTools: FILE.cpuprofile, and one for each thread"),
    ],
    example: 'sameroot bench /data',
    action: async (options, folder) => (await import('./verbs-bench.ts')).benchVerb(context, options, folder),
  };
}

/** Verbs that need no node: they tell something about the host or prove something about the program. */
function proofVerbs(context: VerbContext): readonly Verb[] {
  const { replicasMin, replicasMax, stepsMax, seedsMax, defaults } = SIMULATE_LIMITS;
  return [
    benchVerb(context),
    {
      name: 'simulate',
      summary: 'run simulated hosts through crashes, cuts and disk errors, and check that nothing is lost',
      usage: [],
      options: [
        option('--seed <seed>', 'the history to run, with its trace (default: any); VERSION:NUMBER, or a number of this version'),
        { flags: '--seeds <count>', description: 'run this many histories, on all cores', parse: wholeNumber(1, seedsMax) },
        {
          flags: '--from <number>',
          description: 'the first of many seeds',
          parse: wholeNumber(0, Number.MAX_SAFE_INTEGER),
          default: { value: 1, text: '1' },
        },
        {
          flags: '--replicas <count>',
          description: 'hosts at the beginning',
          parse: wholeNumber(replicasMin, replicasMax),
          default: { value: defaults.replicas, text: String(defaults.replicas) },
        },
        {
          flags: '--steps <count>',
          description: 'what users do and what goes wrong',
          parse: wholeNumber(0, stepsMax),
          default: { value: defaults.steps, text: String(defaults.steps) },
        },
        { flags: '--jobs <count>', description: 'threads (default: one a core)', parse: wholeNumber(1, 1_024) },
        option('--history <file>', 'run a history that --save wrote'),
        option('--save <file>', 'write the history, or the shortest one that still fails'),
        option('--stop', 'with --seeds: stop at the first violation'),
        option('--no-shrink', 'do not look for a shorter history that fails too'),
      ],
      example: 'sameroot simulate --seeds 2000',
      action: async (options) => (await import('./verbs-simulate.ts')).simulateVerb(context, options),
    },
  ];
}
