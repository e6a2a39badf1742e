import fc from 'fast-check';
import { expect, test } from 'vitest';
import { byteKey, toHex } from '../../src/base/bytes.ts';
import { SamerootError } from '../../src/base/errors.ts';
import { SHARE_CHUNK_BYTES_MIN } from '../../src/base/limits.ts';
import { listLeaves, type ListLeaf } from '../../src/content/content-list.ts';
import type { LocalCopy } from '../../src/node/contents.ts';
import { planLeaves, type PlannedLeaf } from '../../src/node/leaf-plan.ts';
import { turns } from '../replica/world.ts';
import { chunkHashes, Deferred, FakeTarget, makeContent, type TestContent } from './parts.ts';

const leavesOf = ({ id, pages }: TestContent): ListLeaf[] => [...listLeaves((page) => pages.get(byteKey(page)), id)];

/** Copies end when the test says so. */
class HeldTarget extends FakeTarget {
  readonly held: Deferred[] = [];

  override async copy(...input: Parameters<FakeTarget['copy']>): Promise<readonly boolean[]> {
    const wait = new Deferred();
    this.held.push(wait);
    await wait.promise;
    return super.copy(...input);
  }
}

async function planned(target: FakeTarget, content: TestContent, resumed = false): Promise<PlannedLeaf[]> {
  const leaves: PlannedLeaf[] = [];
  for await (const leaf of planLeaves(target, content.id, leavesOf(content), resumed)) leaves.push(leaf);
  return leaves;
}

test('tells of every chunk whether it is here: left there before, or copied', async () => {
  const content = makeContent(1, 700);
  const hashes = chunkHashes(content).map(toHex);
  const states = fc.array(fc.constantFrom('left', 'local', 'stale', 'nowhere'), { minLength: 700, maxLength: 700 });
  await fc.assert(
    fc.asyncProperty(states, fc.boolean(), async (list, resumed) => {
      const target = new FakeTarget();
      const copies: LocalCopy[] = [];
      target.copy = (id, items) => {
        copies.push(...items);
        return FakeTarget.prototype.copy.call(target, id, items);
      };
      for (const [index, state] of list.entries()) {
        if (state === 'left') target.part(content.id).set(index * SHARE_CHUNK_BYTES_MIN, content.chunks[index]!);
        if (state === 'local' || state === 'stale') target.local.set(hashes[index]!, content.chunks[index]!);
        if (state === 'stale') target.staleLocal.add(hashes[index]!);
      }
      const leaves = await planned(target, content, resumed);
      expect(leaves.flatMap(({ chunks }) => chunks.map(({ offset }) => offset))).toEqual(
        list.map((_, index) => index * SHARE_CHUNK_BYTES_MIN),
      );
      expect(leaves.flatMap(({ here }) => here)).toEqual(list.map((state) => state === 'local' || (resumed && state === 'left')));
      expect(leaves.reduce((sum, { copied }) => sum + copied, 0)).toBe(list.filter((state) => state === 'local').length);
      const wanted = list.flatMap((state, index) => (state === 'local' || state === 'stale' ? [index * SHARE_CHUNK_BYTES_MIN] : []));
      expect(copies.map(({ fileOffset }) => fileOffset)).toEqual(wanted);
    }),
    { numRuns: 20 },
  );
});

test('several leaves are copied at once, and come in their order', async () => {
  const content = makeContent(2, 700);
  const target = new HeldTarget();
  for (const [index, hash] of chunkHashes(content).entries()) target.local.set(toHex(hash), content.chunks[index]!);
  const leaves = leavesOf(content);
  const all = planned(target, content);
  await turns();
  expect(target.held.length).toBe(leaves.length);
  expect(leaves.length).toBeGreaterThan(3);
  for (const wait of target.held.toReversed()) wait.resolve();
  expect((await all).map(({ firstChunk }) => firstChunk)).toEqual(leaves.map(({ firstChunk }) => firstChunk));
});

test('where nothing is here, no leaf is looked at before it is asked for', async () => {
  const target = new FakeTarget();
  const content = makeContent(3, 700);
  const leaves = planLeaves(target, content.id, leavesOf(content), false);
  const { value } = await leaves.next();
  expect(target.looked).toBe((value as PlannedLeaf).chunks.length);
});

test('a copy that can not be written ends the plan when the others have ended', async () => {
  const content = makeContent(4, 700);
  const target = new HeldTarget();
  for (const [index, hash] of chunkHashes(content).entries()) target.local.set(toHex(hash), content.chunks[index]!);
  let told = false;
  const failed = planned(target, content).catch((error: SamerootError) => {
    told = true;
    return error.code;
  });
  await turns();
  target.held[0]!.reject(new SamerootError('DISK_FULL', 'no room'));
  await turns();
  expect(told).toBe(false);
  for (const wait of target.held) wait.resolve();
  expect(await failed).toBe('DISK_FULL');
});
