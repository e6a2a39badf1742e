import fc from 'fast-check';
import { expect, test } from 'vitest';
import { workAhead } from '../../src/base/work-ahead.ts';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Work that ends when the test says so. */
function bench() {
  const begun: number[] = [];
  const ends: (() => void)[] = [];
  const failures: ((error: Error) => void)[] = [];
  const work = (item: number) =>
    new Promise<number>((resolve, reject) => {
      begun.push(item);
      ends[item] = () => resolve(item);
      failures[item] = reject;
    });
  return { begun, ends, failures, work };
}

test('results come in the order of the items, whatever ends first and whatever is there at once', async () => {
  const items = fc.array(fc.record({ weight: fc.nat(9), turns: fc.nat(3) }), { maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(items, fc.integer({ min: 1, max: 20 }), async (list, weightMax) => {
      let weight = 0;
      const ahead = workAhead(list.entries(), {
        weigh: ([, item]) => item.weight,
        weightMax,
        work: ([index, item]) => {
          // One that begins when there is room may go over it.
          expect(weight).toBeLessThan(weightMax);
          if (item.turns === 0) return index;
          weight += item.weight;
          return (async () => {
            for (let count = 0; count < item.turns; count++) await turn();
            weight -= item.weight;
            return index;
          })();
        },
      });
      const results: number[] = [];
      for await (const result of ahead) results.push(result);
      expect(results).toEqual([...list.keys()]);
    }),
    { numRuns: 60 },
  );
});

test('several are under way at once, up to the weight', async () => {
  const { begun, ends, work } = bench();
  const ahead = workAhead([0, 1, 2, 3, 4], { weigh: () => 1, weightMax: 3, work });
  const first = ahead.next();
  await turn();
  expect(begun).toEqual([0, 1, 2]);
  ends[1]!();
  await turn();
  expect(begun).toEqual([0, 1, 2]);
  ends[0]!();
  expect(await first).toEqual({ done: false, value: 0 });
  expect((await ahead.next()).value).toBe(1);
  for (const end of ends) end();
  void ahead.return(undefined);
});

test('where results are there at once, no item is looked at before it is asked for', async () => {
  const looked: number[] = [];
  function* items() {
    for (let item = 0; item < 5; item++) {
      looked.push(item);
      yield item;
    }
  }
  const ahead = workAhead(items(), { weigh: () => 0, weightMax: 100, work: (item) => item });
  expect((await ahead.next()).value).toBe(0);
  expect(looked).toEqual([0]);
  expect((await ahead.next()).value).toBe(1);
  expect(looked).toEqual([0, 1]);
});

test('an error is told when its turn comes, and when nothing is under way any more', async () => {
  const { ends, failures, work } = bench();
  const ahead = workAhead([0, 1, 2], { weigh: () => 1, weightMax: 9, work });
  const first = ahead.next();
  await turn();
  failures[1]!(new Error('spoiled'));
  await turn();
  ends[0]!();
  expect((await first).value).toBe(0);
  let told = false;
  const second = ahead.next().catch((error: Error) => {
    told = true;
    return error.message;
  });
  await turn();
  expect(told).toBe(false);
  ends[2]!();
  expect(await second).toBe('spoiled');
});

test('a caller who stops early waits for what is under way', async () => {
  const { begun, ends, work } = bench();
  const ahead = workAhead([0, 1, 2], { weigh: () => 1, weightMax: 2, work });
  const first = ahead.next();
  await turn();
  ends[0]!();
  await first;
  let ended = false;
  const stopped = ahead.return(undefined).then(() => (ended = true));
  await turn();
  expect([begun, ended]).toEqual([[0, 1], false]);
  ends[1]!();
  await stopped;
  expect(begun).toEqual([0, 1]);
});
