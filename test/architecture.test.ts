/**
 * The house rules of `src/`: who may import whom, what the pure rooms may do, how a file begins and what it is called.
 * Each rule is a function of the sources, and is shown a house that breaks it, too: a rule that finds nothing wrong
 * anywhere would be no rule.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

/** Text by path below `src/`, with `/`. */
type Sources = ReadonlyMap<string, string>;

/** What each room may import, besides itself. `folder` and the peer side meet in `replica` and `node` only. */
const LOWER_ROOMS = ['base', 'content', 'entry', 'tree'];
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  base: [],
  content: ['base'],
  entry: ['base', 'content'],
  tree: ['base', 'content', 'entry'],
  wire: LOWER_ROOMS,
  store: LOWER_ROOMS,
  net: [...LOWER_ROOMS, 'wire', 'store'],
  replica: [...LOWER_ROOMS, 'wire', 'store'],
  session: [...LOWER_ROOMS, 'wire', 'replica'],
  folder: [...LOWER_ROOMS, 'store', 'replica'],
  node: [...LOWER_ROOMS, 'wire', 'store', 'net', 'replica', 'session', 'folder'],
  simulation: [...LOWER_ROOMS, 'wire', 'store', 'net', 'replica', 'session', 'folder', 'node'],
  app: [...LOWER_ROOMS, 'wire', 'store', 'net', 'replica', 'session', 'folder', 'node', 'simulation'],
};
const PURE_ROOMS = ['content', 'entry', 'tree', 'wire', 'session'];
/** The files of the pure rooms that may ask Node.js for something: for native code, and for WebAssembly. */
const NATIVE_FILES = ['content/hash.ts', 'content/chunk-memory.ts'];
const BARREL = 'index.ts';
/** What runs in the simulator as it runs on a host: time, chance, disk and host come in through the ports of `base/world.ts` and `folder/disk.ts`. */
const PORTED_ROOMS = ['folder', 'node', 'replica', 'simulation'];
/** The real sides of those ports: the disk, the program that flushes it, and the thread that runs its jobs. */
const PORT_FILES = ['folder/real-disk.ts', 'folder/sync-program.ts', 'folder/disk-thread.ts', 'folder/disk-worker.ts'];
const UNPORTED_MODULE = /^(?:node:)?(?:fs|timers|os|child_process|perf_hooks|worker_threads)(?:\/|$)/;
const UNPORTED =
  /\b(?:setTimeout|setInterval|setImmediate|Date\.now|performance|Math\.random|random(?:Bytes|Fill|FillSync|Int|UUID)|getRandomValues|process|Atomics)\b|\bnew Date(?:\(\s*\)|(?!\s*\())|\bDate\(\s*\)/g;
/** Flow of time, chance, the process and the network; `Promise` because nothing pure has to wait. */
const IMPURE =
  /\b(?:await|async|Promise|setTimeout|setInterval|setImmediate|queueMicrotask|Date|performance|Math\.random|crypto|process|globalThis|fetch(?=\())\b/g;

function readSources(): Sources {
  const root = fileURLToPath(new URL('../src/', import.meta.url));
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' }).map((name) => name.replaceAll('\\', '/'));
  // AssemblyScript is another language, of a compiler of its own.
  const ours = names.filter((name) => /\.[a-z]+$/.test(name) && !name.startsWith('assembly/'));
  return new Map(ours.map((name) => [name, readFileSync(root + name, 'utf8')]));
}

const COMMENT_OR_TEXT = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;

/** Comments are no code; nor is what stands in quotes. Templates stay: there is code in them. */
function withoutComments(text: string): string {
  return text.replace(COMMENT_OR_TEXT, (found) => (found.startsWith('/') ? ' ' : found));
}

function withoutTexts(text: string): string {
  return text.replace(COMMENT_OR_TEXT, (found) => (found.startsWith('`') ? found : found.startsWith('/') ? ' ' : "''"));
}

const IMPORTS = [
  /^\s*(?:import|export)\s[^;'"`]*?\bfrom\s*['"]([^'"]+)['"]/gm,
  /^\s*import\s*['"]([^'"]+)['"]/gm,
  // Also the type `import('./x.ts').X`, and `createRequire(import.meta.url)('x')`.
  /(?:\bimport|\brequire|\bimport\.meta\.url\))\s*\(\s*['"]([^'"]+)['"]/g,
];

function importsOf(text: string): string[] {
  const code = withoutComments(text);
  return IMPORTS.flatMap((pattern) => [...code.matchAll(pattern)].map((match) => match[1]!));
}

/** The files of `src/` that a file imports, types included. */
function localImports(sources: Sources, file: string): string[] {
  const relative = importsOf(sources.get(file)!).filter((name) => name.startsWith('.'));
  return relative.map((name) => posix.join(posix.dirname(file), name));
}

function roomOf(file: string): string {
  return file.split('/')[0]!;
}

function packageOf(specifier: string): string | undefined {
  if (specifier.startsWith('.') || specifier.startsWith('node:')) return undefined;
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

function forbiddenImports(sources: Sources): string[] {
  const found: string[] = [];
  for (const file of sources.keys()) {
    if (file === BARREL) continue;
    const room = roomOf(file);
    for (const other of localImports(sources, file)) {
      if (roomOf(other) !== room && !(MAY_IMPORT[room] ?? []).includes(roomOf(other))) found.push(`${file} imports ${other}`);
    }
  }
  return found;
}

/** Each cycle once, as the path round it. */
function cycles(sources: Sources): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) found.push([...path.slice(path.indexOf(file)), file].join(' -> '));
    if (path.includes(file) || done.has(file) || !sources.has(file)) return;
    for (const next of localImports(sources, file)) visit(next, [...path, file]);
    done.add(file);
  };
  for (const file of sources.keys()) visit(file, []);
  return found;
}

function packagesInSeveralFiles(sources: Sources): string[] {
  const users = new Map<string, Set<string>>();
  for (const [file, text] of sources) {
    for (const name of importsOf(text).map(packageOf)) {
      if (name !== undefined) users.set(name, (users.get(name) ?? new Set()).add(file));
    }
  }
  return [...users].filter(([, files]) => files.size > 1).map(([name, files]) => `${name} in ${[...files].sort().join(', ')}`);
}

function impurities(sources: Sources): string[] {
  const found: string[] = [];
  for (const [file, text] of sources) {
    if (!PURE_ROOMS.includes(roomOf(file)) || NATIVE_FILES.includes(file)) continue;
    for (const name of importsOf(text)) if (name.startsWith('node:')) found.push(`${file}: ${name}`);
    for (const [word] of withoutTexts(text).matchAll(IMPURE)) found.push(`${file}: ${word}`);
  }
  return found;
}

function pastThePorts(sources: Sources): string[] {
  const found: string[] = [];
  for (const [file, text] of sources) {
    if (!PORTED_ROOMS.includes(roomOf(file)) || PORT_FILES.includes(file)) continue;
    for (const name of importsOf(text)) if (UNPORTED_MODULE.test(name)) found.push(`${file}: ${name}`);
    for (const [word] of withoutTexts(text).matchAll(UNPORTED)) found.push(`${file}: ${word}`);
  }
  return found;
}

function defaultExportsAndBarrels(sources: Sources): string[] {
  const found: string[] = [];
  for (const [file, text] of sources) {
    const code = withoutComments(text);
    if (/^\s*export\s+default\b|\bas\s+default\b/m.test(code)) found.push(`${file}: default export`);
    if (file !== BARREL && /^\s*export\s[^;'"`=(]*?\bfrom\s*['"]/m.test(code)) found.push(`${file}: exports what another file has`);
    if (file !== BARREL && posix.basename(file) === BARREL) found.push(`${file}: barrel`);
  }
  return found;
}

function badNames(sources: Sources): string[] {
  return [...sources.keys()].filter((file) => !/^(?:[a-z0-9]+(?:-[a-z0-9]+)*\/)*[a-z0-9]+(?:-[a-z0-9]+)*\.(?:ts|mjs)$/.test(file));
}

function withoutHeader(sources: Sources): string[] {
  return [...sources].filter(([, text]) => !/^(?:#!.*\n)?\/\*\*[\s*]+\S/.test(text)).map(([file]) => file);
}

const sources = readSources();

describe('the sources', () => {
  test('are all there, and their imports are seen', () => {
    expect(new Set([...sources.keys()].map(roomOf))).toEqual(new Set([...Object.keys(MAY_IMPORT), BARREL]));
    const files = [...sources.keys()].filter((file) => file.endsWith('.ts'));
    const imported = new Set(files.flatMap((file) => localImports(sources, file)));
    expect([...imported].filter((file) => !sources.has(file))).toEqual([]);
    // What nobody imports is where something begins: the library, the programs, a thread's script.
    const roots = files.filter((file) => !imported.has(file) && file !== BARREL);
    expect(roots.filter((file) => !/^app\/(?:main|demo)\.ts$|worker\.ts$/.test(file))).toEqual([]);
  });

  test('import downward only', () => expect(forbiddenImports(sources)).toEqual([]));
  test('have no cycles, not even of types', () => expect(cycles(sources)).toEqual([]));
  test('import each package in one file', () => expect(packagesInSeveralFiles(sources)).toEqual([]));
  test('are pure where the room is pure', () => expect(impurities(sources)).toEqual([]));
  test('meet the world at its ports only', () => expect(pastThePorts(sources)).toEqual([]));
  test('have no default exports and no barrels', () => expect(defaultExportsAndBarrels(sources)).toEqual([]));
  test('have kebab-case names', () => expect(badNames(sources)).toEqual([]));
  test('begin with a comment on the file', () => expect(withoutHeader(sources)).toEqual([]));

  test('use the packages that package.json lists, and no others', () => {
    const used = new Set([...sources.values()].flatMap((text) => importsOf(text).flatMap((name) => packageOf(name) ?? [])));
    const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as Record<
      string,
      Record<string, string>
    >;
    const listed = Object.keys({ ...manifest['dependencies'], ...manifest['optionalDependencies'] });
    expect([...used].sort()).toEqual(listed.sort());
  });
});

describe('a rule finds what breaks it:', () => {
  const house = (files: Readonly<Record<string, string>>): Sources => new Map(Object.entries(files));

  test.each([
    ['base/a.ts', '../content/hash.ts'],
    ['tree/a.ts', '../store/store.ts'],
    ['store/a.ts', '../wire/codec.ts'],
    ['session/a.ts', '../net/link.ts'],
    ['session/a.ts', '../store/store.ts'],
    ['session/a.ts', '../node/node.ts'],
    ['net/a.ts', '../folder/folder.ts'],
    ['folder/a.ts', '../session/session.ts'],
    ['folder/a.ts', '../net/link.ts'],
    ['folder/a.ts', '../node/node.ts'],
    ['node/a.ts', '../app/main.ts'],
    ['node/a.ts', '../simulation/runner.ts'],
    ['folder/a.ts', '../simulation/runner.ts'],
    ['simulation/a.ts', '../app/main.ts'],
    ['node/a.ts', '../index.ts'],
    ['elsewhere/a.ts', '../base/bytes.ts'],
  ])('%s may not import %s, however it is written', (file, other) => {
    for (const line of [
      `import { x } from '${other}';`,
      `import type { X } from '${other}';`,
      `import {\n  x,\n  type Y,\n} from '${other}';`,
      `import * as x from "${other}";`,
      `import '${other}';`,
      `export * from '${other}';`,
      `const x = await import('${other}');`,
      `let x: import('${other}').X;`,
    ]) {
      expect(forbiddenImports(house({ [file]: `/** A. */\n${line}\n` })), line).toHaveLength(1);
    }
    expect(forbiddenImports(house({ [file]: `// import { x } from '${other}';\n/* import '${other}' */` }))).toEqual([]);
  });

  test('a cycle', () => {
    const one = { 'tree/a.ts': "import { b } from './b.ts';", 'tree/b.ts': "import type { C } from './c.ts';" };
    expect(cycles(house({ ...one, 'tree/c.ts': '' }))).toEqual([]);
    expect(cycles(house({ ...one, 'tree/c.ts': "import { a } from './a.ts';" }))).toEqual([
      'tree/a.ts -> tree/b.ts -> tree/c.ts -> tree/a.ts',
    ]);
    expect(cycles(house({ 'tree/a.ts': "import { a } from '../tree/a.ts';" }))).toEqual(['tree/a.ts -> tree/a.ts']);
  });

  test('a package in two files', () => {
    const files = { 'app/a.ts': "import { z } from 'zod';", 'net/b.ts': "import { x } from '@a/b/deep.js';" };
    expect(packagesInSeveralFiles(house({ ...files, 'app/c.ts': "import { join } from 'node:path';" }))).toEqual([]);
    expect(packagesInSeveralFiles(house({ ...files, 'app/c.ts': "import type { Z } from 'zod';" }))).toEqual(['zod in app/a.ts, app/c.ts']);
    expect(packagesInSeveralFiles(house({ ...files, 'app/c.ts': "const b = require('@a/b');" }))).toEqual(['@a/b in app/c.ts, net/b.ts']);
  });

  test.each([
    'await x;',
    'async function f() {}',
    'Promise.resolve()',
    'setTimeout(f, 1)',
    'Date.now()',
    'new Date(0)',
    'Math.random()',
    'performance.now()',
    'process.env',
    'crypto.getRandomValues(x)',
    "import { join } from 'node:path';",
    '`${Date.now()}`',
  ])('in a pure room: %s', (line) => {
    for (const room of PURE_ROOMS) expect(impurities(house({ [`${room}/a.ts`]: line }))).not.toEqual([]);
    expect(impurities(house(Object.fromEntries(['node/a.ts', ...NATIVE_FILES].map((file) => [file, line]))))).toEqual([]);
    expect(impurities(house({ 'tree/a.ts': `/* ${line} */ const text = ${JSON.stringify(line)}; // ${line}` }))).toEqual([]);
  });

  test.each([
    'setTimeout(f, 1)',
    'globalThis.setInterval(f, 1)',
    'setImmediate(f)',
    'Date.now()',
    'new Date()',
    'new Date',
    'Date()',
    'performance.now()',
    'Math.random()',
    'process.hrtime.bigint()',
    'Atomics.wait(x, 0, 0, 5)',
    'randomBytes(8)',
    'crypto.randomUUID()',
    '`${Date.now()}`',
    "import { open } from 'node:fs/promises';",
    "import { readFileSync } from 'fs';",
    "import type { Stats } from 'node:fs';",
    "import { setTimeout as sleep } from 'node:timers/promises';",
    "import { hostname } from 'node:os';",
    "import { spawn } from 'node:child_process';",
    "import { performance as p } from 'node:perf_hooks';",
    "import { Worker } from 'node:worker_threads';",
  ])('past a port: %s', (line) => {
    for (const room of PORTED_ROOMS) expect(pastThePorts(house({ [`${room}/a.ts`]: line }))).not.toEqual([]);
    expect(pastThePorts(house(Object.fromEntries([...PORT_FILES, 'app/a.ts', 'store/a.ts'].map((file) => [file, line]))))).toEqual([]);
    expect(pastThePorts(house({ 'node/a.ts': `/* ${line} */ const text = ${JSON.stringify(line)}; // ${line}` }))).toEqual([]);
  });

  test('but not what only looks like it', () => {
    for (const line of [
      'new Date(clock.wallMs())',
      'queueMicrotask(f)',
      'timers.after(1, f)',
      'random.bytes(8)',
      "import { join } from 'node:path';",
    ])
      expect(pastThePorts(house({ 'node/a.ts': line })), line).toEqual([]);
  });

  test('default exports, barrels, names, headers', () => {
    for (const line of ['export default 1;', 'export { a as default };', "export * from './b.ts';", "export { b } from './b.ts';"]) {
      expect(defaultExportsAndBarrels(house({ 'tree/a.ts': line })), line).toHaveLength(1);
    }
    expect(defaultExportsAndBarrels(house({ 'tree/index.ts': '' }))).toHaveLength(1);
    expect(defaultExportsAndBarrels(house({ 'index.ts': "export { b } from './tree/b.ts';" }))).toEqual([]);
    expect(badNames(house({ 'tree/aB.ts': '', 'tree/a_b.ts': '', 'Tree/a.ts': '', 'tree/a.js': '', 'tree/a-b2.ts': '' }))).toHaveLength(4);
    expect(
      withoutHeader(house({ 'a.ts': 'export const a = 1;', 'b.ts': '// B', 'c.ts': '/** */ let c;', 'd.ts': '#!/bin/node\n/** D. */' })),
    ).toEqual(['a.ts', 'b.ts']);
  });
});
