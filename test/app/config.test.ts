import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadStartConfig, parseRequest, type StartConfig } from '../../src/app/config.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sameroot-config-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

type Texts = Record<string, unknown>;

function load(flags: Texts = {}, environment: Record<string, string> = {}): StartConfig {
  return loadStartConfig({ flags, environment, currentFolder: folder });
}

function toml(text: string): string {
  const path = join(folder, 'node.toml');
  writeFileSync(path, text);
  return path;
}

function refusal(...args: Parameters<typeof load>): string {
  try {
    load(...args);
  } catch (error) {
    expect(error).toMatchObject({ code: 'CONFIG_INVALID' });
    return (error as Error).message;
  }
  throw new Error('it was accepted');
}

describe('defaults', () => {
  it('are those of the documentation', () => {
    expect(load({ folder: 'data' })).toEqual({
      node: {
        folder: join(folder, 'data'),
        dataDir: join(folder, 'data', '.sameroot'),
        shareName: 'data',
        listen: { host: '127.0.0.1', port: 7440 },
        listenAnyPort: true,
        advertise: true,
        join: [],
        token: undefined,
        insecure: false,
        settleMs: 300,
        rescanMs: 3_600_000,
        pullEveryMs: 30_000,
        minFreeBytes: undefined,
      },
      http: { host: '127.0.0.1', port: 0 },
      logLevel: undefined,
    });
    expect(load().node.folder).toBe(folder);
  });

  it('name a share even for the top of the file system', () => {
    expect(load({ folder: '/' }).node.shareName).toBe('share');
  });
});

/** One row for each setting: how it is written, and two values with what becomes of them. */
const SETTINGS: readonly [
  name: string,
  texts: [string, string, string],
  read: (config: StartConfig) => unknown,
  values: [unknown, unknown, unknown],
][] = [
  ['share', ['a', 'b', 'c'], (config) => config.node.shareName, ['a', 'b', 'c']],
  ['token', ['a', 'b', 'c'], (config) => config.node.token, ['a', 'b', 'c']],
  ['data', ['/a', '/b', '/c'], (config) => config.node.dataDir, ['/a', '/b', '/c']],
  ['folder', ['/a', '/b', '/c'], (config) => config.node.folder, ['/a', '/b', '/c']],
  ['listen', ['a:1', 'b:2', 'c:3'], (config) => config.node.listen.port, [1, 2, 3]],
  ['http', ['a:1', 'b:2', 'c:3'], (config) => config.http.port, [1, 2, 3]],
  ['join', ['a:1', 'b:2', 'c:3'], (config) => config.node.join.map((address) => address.port), [[1], [2], [3]]],
  ['pull-every', ['1s', '2s', '3s'], (config) => config.node.pullEveryMs, [1000, 2000, 3000]],
  ['settle', ['1s', '2s', '3s'], (config) => config.node.settleMs, [1000, 2000, 3000]],
  ['rescan', ['1s', '2s', '3s'], (config) => config.node.rescanMs, [1000, 2000, 3000]],
  ['min-free', ['1KB', '2KB', '3KB'], (config) => config.node.minFreeBytes, [1000, 2000, 3000]],
  ['log-level', ['debug', 'info', 'error'], (config) => config.logLevel, ['debug', 'info', 'error']],
];

describe.each(SETTINGS)('%s', (name, [flag, variable, file], read, [fromFlag, fromVariable, fromFile]) => {
  const variableName = `SAMEROOT_${name.toUpperCase().replaceAll('-', '_')}`;

  it('flag wins over environment wins over file wins over default', () => {
    const config = toml(`${name} = "${file}"`);
    expect(read(load({ config, [name]: flag }, { [variableName]: variable }))).toEqual(fromFlag);
    expect(read(load({ config }, { [variableName]: variable }))).toEqual(fromVariable);
    expect(read(load({ config }))).toEqual(fromFile);
    expect(read(load({ config }, { [variableName]: '' }))).toEqual(fromFile);
    expect([fromFlag, fromVariable, fromFile]).not.toContainEqual(read(load()));
  });
});

describe('joining', () => {
  it('takes several peers from each source, and does not mix sources', () => {
    const ports = (config: StartConfig) => config.node.join.map((address) => address.port);
    const config = toml('join = ["a:1", "b:2"]');
    expect(ports(load({ config }))).toEqual([1, 2]);
    expect(ports(load({ config }, { SAMEROOT_JOIN: 'c:3, d:4' }))).toEqual([3, 4]);
    expect(ports(load({ config, join: ['e:5', 'f:6'] }, { SAMEROOT_JOIN: 'c:3' }))).toEqual([5, 6]);
  });

  it('knows whether the port was chosen by hand', () => {
    expect(load({ listen: '127.0.0.1:7440' }).node.listenAnyPort).toBe(false);
  });
});

describe('the file', () => {
  it('can be named by the environment, and has paths of its own', () => {
    const config = toml('folder = "inside"\ninsecure = true\npull-every = "2s"');
    const loaded = loadStartConfig({ flags: {}, environment: { SAMEROOT_CONFIG: config }, currentFolder: '/elsewhere' });
    expect(loaded.node).toMatchObject({ folder: join(folder, 'inside'), insecure: true, pullEveryMs: 2000 });
  });

  it('may say no', () => {
    const config = toml('insecure = true');
    expect(load({ config }, { SAMEROOT_INSECURE: 'false' }).node.insecure).toBe(false);
    expect(load({}, { SAMEROOT_INSECURE: '1' }).node.insecure).toBe(true);
  });

  it('is refused with its name', () => {
    expect(refusal({ config: 'missing.toml' })).toContain('missing.toml');
    expect(refusal({ config: toml('a = = b') })).toContain('is not TOML');
    expect(refusal({ config: toml('pul-every = "2s"') })).toMatch(/node\.toml: unknown name "pul-every"/);
    expect(refusal({ config: toml('settle = "2"') })).toMatch(/node\.toml: settle: "2" is not a duration/);
    expect(refusal({ config: toml('settle = 300') })).toMatch(/node\.toml: settle: "300" is not a duration/);
    expect(refusal({ config: toml('insecure = "perhaps"') })).toMatch(/node\.toml: insecure: /);
  });
});

describe('a bad value is named by where it was written', () => {
  it.each([
    [{ settle: '300' }, {}, '--settle: "300" is not a duration such as'],
    [{ 'pull-every': '1ms' }, {}, '--pull-every: "1ms" is shorter than 100ms'],
    [{}, { SAMEROOT_MIN_FREE: 'lots' }, 'SAMEROOT_MIN_FREE: "lots" is not a size such as'],
    [{ listen: '7440' }, {}, '--listen: "7440" is not HOST:PORT'],
    [{ join: ['a:1', 'b'] }, {}, '--join: "b" is not HOST:PORT'],
    [{ 'log-level': 'loud' }, {}, '--log-level: must be one of debug'],
    [{ share: 'x'.repeat(256) }, {}, '--share: must be at most 255 bytes'],
  ] as [Texts, Record<string, string>, string][])('%j %j', (flags, environment, message) => {
    expect(refusal(flags, environment)).toContain(message);
  });

  it('and cut short', () => {
    expect(refusal({ settle: '9'.repeat(100_000) }).length).toBeLessThan(300);
  });
});

describe('requests', () => {
  it('have defaults', () => {
    expect(parseRequest('list', {})).toEqual({ prefix: '', limit: 1000 });
    expect(parseRequest('wait', {})).toEqual({ timeoutMs: 60_000 });
    expect(parseRequest('diff', { limit: '7', peer: 'b' })).toEqual({ limit: 7, peer: 'b' });
  });

  it('are refused with the name of the field', () => {
    expect(() => parseRequest('wait', { peers: [] })).toThrow(/^peers: /);
    expect(() => parseRequest('wait', { timeout: 1 })).toThrow('unknown name "timeout"');
    expect(() => parseRequest('wait', null)).toThrow(/^request: /);
  });
});
