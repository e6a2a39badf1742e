import { expect, test } from 'vitest';
import { PartGate } from '../../src/folder/part-gate.ts';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

function steps() {
  const gate = new PartGate();
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const step = (name: string) => () =>
    new Promise<void>((resolve) => {
      begun.push(name);
      ends.set(name, resolve);
    });
  const use = (name: string, part = 'x') => gate.use(part, step(name));
  const end = (name: string, parts: readonly string[] = ['x']) => gate.end(parts, step(name));
  const through = async (name: string) => {
    ends.get(name)!();
    await turn();
  };
  return { gate, begun, use, end, through };
}

test('users share a part; one that ends it waits for all of them, and whoever comes later waits for it', async () => {
  const { begun, use, end, through } = steps();
  const all = [use('a'), use('b'), end('end'), use('late')];
  expect(begun).toEqual(['a', 'b']);
  await through('a');
  expect(begun).toEqual(['a', 'b']);
  await through('b');
  expect(begun).toEqual(['a', 'b', 'end']);
  await through('end');
  expect(begun).toEqual(['a', 'b', 'end', 'late']);
  await through('late');
  await Promise.all(all);
});

test('other parts are not concerned; of several that are ended together, each is waited for', async () => {
  const { begun, use, end, through } = steps();
  const all = [use('x1', 'x'), use('y1', 'y'), end('end', ['x', 'y']), use('z1', 'z'), use('y2', 'y')];
  expect(begun).toEqual(['x1', 'y1', 'z1']);
  await through('y1');
  expect(begun).toEqual(['x1', 'y1', 'z1']);
  await through('x1');
  expect(begun.at(-1)).toBe('end');
  await through('end');
  expect(begun.at(-1)).toBe('y2');
  await through('y2');
  await through('z1');
  await Promise.all(all);
});

test('of two that end the same parts the second waits for the first, and both come before who wants to use one', async () => {
  const { begun, use, end, through } = steps();
  const all = [end('first', ['x', 'y']), end('second', ['y', 'x']), end('other', ['z']), use('late')];
  expect(begun).toEqual(['first', 'other']);
  await through('first');
  expect(begun).toEqual(['first', 'other', 'second']);
  await through('second');
  expect(begun).toEqual(['first', 'other', 'second', 'late']);
  await through('other');
  await through('late');
  await Promise.all(all);
});

test('a step that fails leaves the gate open', async () => {
  const gate = new PartGate();
  const fail = () => Promise.reject(new Error('failed'));
  await expect(gate.use('x', fail)).rejects.toThrow('failed');
  await expect(gate.end(['x'], fail)).rejects.toThrow('failed');
  expect(await gate.use('x', () => Promise.resolve(1))).toBe(1);
});
