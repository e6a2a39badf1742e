/**
 * The command line: parses it by the table of `verbs.ts` and runs the verb. Whatever goes wrong ends here, as one line
 * on stderr and an exit code.
 */
import { readFileSync } from 'node:fs';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { messageOf, SamerootError } from '../base/errors.ts';
import { describeError, EXIT, exitCodeOf } from './exit.ts';
import type { VerbContext } from './terminal.ts';
import type { OptionSpec, Verb } from './verb.ts';
import { makeVerbs } from './verbs.ts';

/** Runs one command line. Returns the exit code; what went wrong is on stderr. */
export async function runCli(args: readonly string[], context: VerbContext): Promise<number> {
  const { terminal } = context;
  let code: number = EXIT.done;
  const program = makeProgram(context, (result) => (code = result));
  try {
    await program.parseAsync(args, { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT.done;
      // Without a verb it printed the whole help, which says it better.
      if (error.code !== 'commander.help') terminal.err(describeError(usageError(error), false));
      return EXIT.usage;
    }
    terminal.err(describeError(error, args.includes('--debug')));
    return exitCodeOf(error);
  }
}

function usageError(error: CommanderError): SamerootError {
  return new SamerootError('CONFIG_INVALID', error.message.replace(/^error: /, '').replace(/\.?$/, ''));
}

function makeProgram(context: VerbContext, done: (code: number) => void): Command {
  const { terminal } = context;
  const program = new Command('sameroot')
    .description('Keeps a folder identical on several hosts; every host that is in sync has the same root hash.')
    .version(readVersion(), '--version', 'print the version')
    .helpOption('--help', 'show help')
    .helpCommand('help [verb]', 'show help for a verb')
    .exitOverride()
    // What stands after the name of a verb is that verb's: `conflicts` and `conflicts resolve` have options of one name.
    .enablePositionalOptions()
    .configureOutput({ writeOut: (text) => terminal.out(text), writeErr: (text) => terminal.err(text), outputError: () => undefined })
    .addHelpText('after', '\nExamples:\n  sameroot start data\n  sameroot status data --check\n  sameroot help wait');
  for (const verb of makeVerbs(context)) addVerb(program, verb, done);
  return program;
}

function addVerb(program: Command, verb: Verb, done: (code: number) => void): void {
  const command = program.command(verb.name).description(verb.summary).helpOption('--help', 'show help');
  for (const [name, description] of verb.usage) command.argument(name, description);
  for (const option of verb.options) command.addOption(makeOption(option));
  command.option('--json', 'print one JSON document');
  command.option('--debug', 'print the stack of an error');
  command.addHelpText('after', `\nExample:\n  ${verb.example}`);
  command.enablePositionalOptions();
  for (const below of verb.below ?? []) addVerb(command, below, done);
  const { action } = verb;
  if (action === undefined) return;
  command.action(async (...parts: unknown[]) => {
    const positional = parts.slice(0, verb.usage.length) as (string | undefined)[];
    done(await action(command.opts(), ...positional));
  });
}

function makeOption(spec: OptionSpec): Option {
  const option = new Option(spec.flags, spec.description);
  const { parse } = spec;
  if (spec.default !== undefined) option.default(spec.default.value, spec.default.text);
  if (parse === undefined) return option;
  return option.argParser((text: string, before: unknown) => {
    try {
      return parse(text, before);
    } catch (error) {
      throw new InvalidArgumentError(messageOf(error));
    }
  });
}

function readVersion(): string {
  const file = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
  return file.version;
}
