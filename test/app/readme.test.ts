/** The README and the guide for operators are executed as far as they can be: their commands must be ones that the program takes. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Verb } from '../../src/app/verb.ts';
import { makeVerbs } from '../../src/app/verbs.ts';
import { recorder } from './recorder.ts';

const README: string = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const OPERATIONS: string = readFileSync(new URL('../../docs/OPERATIONS.md', import.meta.url), 'utf8');
const PACKAGE = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { scripts: Record<string, string> };
const VERBS: readonly Verb[] = makeVerbs({ terminal: recorder(), environment: {}, currentFolder: '/' });

/** Every `sameroot VERB ...`, in text and blocks; `npm start -- ...` is `sameroot start ...`. */
const COMMANDS: readonly string[] = [
  ...`${README}\n${OPERATIONS}`.matchAll(/(?:sameroot|npm start --) (?=[a-z])([^`\n;&|]*)|npm start -- ([^`\n;&|]*)/g),
]
  .map(([text]) => text.replace(/^npm start --/, 'sameroot start').trim())
  .filter((text) => /^sameroot [a-z]+( |$)/.test(text) && !/^sameroot (keeps|VERB|help)/.test(text));

function optionsOf(verb: Verb): Map<string, boolean> {
  const own = verb.options.map(({ flags }) => [flags.split(' ')[0]!, flags.includes('<')] as const);
  return new Map([...own, ['--json', false], ['--debug', false]]);
}

/** The words of a command line that are not options or their values. */
function positional(words: readonly string[], options: ReadonlyMap<string, boolean>): string[] {
  return words.filter((word, at) => !word.startsWith('--') && options.get(words[at - 1] ?? '') !== true);
}

describe('README.md', () => {
  it('shows commands', () => {
    expect(COMMANDS.length).toBeGreaterThan(15);
    expect(COMMANDS).toContain('sameroot start data --listen 10.0.0.7:7440');
  });

  it.each(COMMANDS)('%s', (command) => {
    const [, name, ...rest] = command.split(' ');
    const first = VERBS.find((other) => other.name === name);
    expect(first, 'the verb exists').toBeDefined();
    const below = first!.below?.find((other) => other.name === rest[0]);
    const verb = below ?? first;
    const words = below === undefined ? rest : rest.slice(1);
    const options = optionsOf(verb!);
    for (const word of words.filter((text) => text.startsWith('--'))) expect([...options.keys()]).toContain(word);
    const count = positional(words, options).length;
    expect(count).toBeLessThanOrEqual(verb!.usage.length);
    // A verb that is only mentioned in a sentence stands alone.
    if (words.length > 0) expect(count).toBeGreaterThanOrEqual(verb!.usage.filter(([argument]) => argument.startsWith('<')).length);
  });

  it('has a row with an example for every verb', () => {
    for (const { name } of VERBS) expect(README).toMatch(new RegExp(`^\\| \`${name}\` +\\| [^|]+ \\| \`sameroot ${name}[ \`]`, 'm'));
  });

  it('names npm scripts that exist', () => {
    const names = [...README.matchAll(/npm run ([a-z:]+)/g)].map(([, name]) => name!);
    expect(names.length).toBeGreaterThan(2);
    for (const name of [...names, 'start', 'test']) expect(PACKAGE.scripts).toHaveProperty([name]);
  });

  it('does not name verbs as missing that are there', () => {
    const missing = /## What it does not do yet\n([^#]+)/.exec(README)![1]!;
    for (const { name } of VERBS) expect(missing).not.toContain(`\`${name}\``);
  });
});
