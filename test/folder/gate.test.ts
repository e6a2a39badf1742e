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
