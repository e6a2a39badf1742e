import { expect, test } from 'vitest';
import { PathGate } from '../../src/folder/gate.ts';

test('steps run one after the other, in the order they came, also after one that failed', async () => {
  const gate = new PathGate();
  const log: string[] = [];
  const step =
    (name: string, fails = false) =>
    async (): Promise<string> => {
      log.push(`${name} begins`);
      await new Promise((resolve) => setImmediate(resolve));
      log.push(`${name} ends`);
      if (fails) throw new Error(name);
      return name;
    };
  const results = [gate.run(step('a')), gate.run(step('b', true)), gate.run(step('c'))];
  expect(gate.busy).toBe(3);
  expect((await Promise.allSettled(results)).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(log).toEqual(['a', 'b', 'c'].flatMap((name) => [`${name} begins`, `${name} ends`]));
  expect(await results[2]).toBe('c');
  expect(gate.busy).toBe(0);
});

test('what a step leaves as a debt is done before the next one, until that succeeds', async () => {
  const gate = new PathGate();
  const log: string[] = [];
  let fails = 2;
  const debt = async (): Promise<void> => {
    await Promise.resolve();
    if (fails-- > 0) throw new Error('not yet');
    log.push('debt');
  };
  await gate.run(async () => gate.owe(debt));
  const step = async (): Promise<void> => void log.push('step');
  await expect(gate.run(step)).rejects.toThrow('not yet');
  await expect(gate.run(step)).rejects.toThrow('not yet');
  await Promise.all([gate.run(step), gate.run(step)]);
  expect(log).toEqual(['debt', 'step', 'step']);
});
