/** The verbs about single paths: conflicts, why, trash. Part of the table of `verbs.ts`. */
import { SamerootError } from '../base/errors.ts';
import { DAY_PATTERN } from './defaults.ts';
import type { VerbContext } from './terminal.ts';
import { FOLDER, folderOf, folderOption, limitOption, option, watchOption, type OptionSpec, type Verb } from './verb.ts';

const PATH = ['<PATH>', 'a file, as you would name it here; or a key as `ls` prints it (r/KEY for a record)'] as const;

export function pathVerbs(context: VerbContext): readonly Verb[] {
  return [conflictsVerb(context), whyVerb(context), trashVerb(context)];
}

function conflictsVerb(context: VerbContext): Verb {
  return {
    name: 'conflicts',
    summary: 'list the paths and records that were changed in two places at once',
    usage: [FOLDER],
    options: [folderOption(), limitOption('at most this many'), option('--check', 'exit with 5 if there are any'), watchOption()],
    example: 'sameroot conflicts data --check',
    action: async (options, folder) =>
      (await import('./verbs-conflicts.ts')).conflictsVerb(context, { ...options, folder: folderOf(options, folder) }),
    below: [
      {
        name: 'resolve',
        summary: 'keep one version, on all hosts; the others go to the trash',
        usage: [PATH],
        options: [
          option('--keep <name>', 'the version to keep: a path or number as `conflicts` prints it, an id, or the host that wrote it'),
          option('--if-match <etag>', 'only if the versions are still those that `conflicts --json` showed with this ETag'),
          folderOption(),
        ],
        example: 'sameroot conflicts resolve data/notes.txt --keep host-b',
        action: async (options, path) => {
          const { keep } = options as { readonly keep?: string };
          if (keep === undefined)
            throw new SamerootError('CONFIG_INVALID', '--keep: name the version to keep, as `sameroot conflicts` prints it');
          return (await import('./verbs-conflicts.ts')).resolveVerb(context, { ...options, path: path!, keep });
        },
      },
    ],
  };
}

function whyVerb(context: VerbContext): Verb {
  return {
    name: 'why',
    summary: 'tell the story of a path: its versions, who has them, and what holds it',
    usage: [PATH],
    options: [folderOption(), watchOption()],
    example: 'sameroot why data/notes.txt',
    action: async (options, path) => (await import('./verbs-conflicts.ts')).whyVerb(context, { ...options, path: path! }),
  };
}

function trashVerb(context: VerbContext): Verb {
  return {
    name: 'trash',
    summary: 'what changes from other hosts replaced or removed here: list it, restore it, empty it',
    usage: [],
    options: [],
    example: 'sameroot trash restore data/notes.txt',
    action: undefined,
    below: [
      {
        name: 'list',
        summary: 'list the files in the trash of this host, the newest days first',
        usage: [['[PREFIX]', 'only what was at a path that begins with it, from the top of the shared folder']],
        options: [folderOption(), limitOption('at most this many files')],
        example: 'sameroot trash list models/ --folder data',
        action: async (options, prefix) => (await import('./verbs-trash.ts')).trashListVerb(context, { ...options, prefix }),
      },
      {
        name: 'restore',
        summary: 'bring a file back, or what was in a folder, as it was last',
        usage: [['<PATH>', 'where it was']],
        options: [
          option('--as <path>', 'put it here instead'),
          dayOption(),
          option('--force', 'what is there now goes to the trash; without it, it stays'),
          folderOption(),
        ],
        example: 'sameroot trash restore data/notes.txt --as data/notes-of-monday.txt --day 2026-11-23',
        action: async (options, path) => (await import('./verbs-trash.ts')).trashRestoreVerb(context, { ...options, path: path! }),
      },
      {
        name: 'empty',
        summary: 'remove everything from the trash of this host, for good',
        usage: [FOLDER],
        options: [folderOption()],
        example: 'sameroot trash empty data',
        action: async (options, folder) =>
          (await import('./verbs-trash.ts')).trashEmptyVerb(context, { ...options, folder: folderOf(options, folder) }),
      },
    ],
  };
}

function dayOption(): OptionSpec {
  const parse = (text: string): string => {
    if (!DAY_PATTERN.test(text)) throw new RangeError('It must be a day such as 2026-11-23.');
    return text;
  };
  return { flags: '--day <day>', description: 'only what went to the trash on this day (UTC), as `trash list` prints it', parse };
}
