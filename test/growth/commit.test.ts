/** What a commit writes to the database, as a function of the entries of the replica and of how many are written. */
import { describe, expect, test } from 'vitest';
import { Replica } from '../../src/replica/replica.ts';
import { createShare } from '../../src/replica/share.ts';
import { growth, mean } from './exponent.ts';
import { someOf } from './forest.ts';
import { FaultyStore, FOUNDER, put, seededRandom, TestClock } from '../replica/world.ts';

const ENTRIES: readonly number[] = [1_000, 5_000, 20_000];
const SEEDS: readonly number[] = [1, 2, 3, 4];

interface Cost {
  readonly rows: number;
  readonly bytes: number;
}

const replicas = new Map<number, Promise<Replica>>();

/** The store is a `FaultyStore` that never fails: it keeps what was written. */
function replicaOf(count: number): Promise<Replica> {
  let found = replicas.get(count);
  if (found === undefined) {
    found = filled(count);
    replicas.set(count, found);
  }
  return found;
}

async function filled(count: number): Promise<Replica> {
  const share = createShare('growth', FOUNDER, seededRandom(1));
  const replica = await Replica.create(new FaultyStore(), share, new TestClock(), seededRandom(2));
  await replica.commit(Array.from({ length: count }, (_, at) => put(at, `value ${at}`)));
  return replica;
}

/** No commit writes what is there already. */
let version = 0;

async function costOf(count: number, written: number): Promise<Cost> {
  const replica = await replicaOf(count);
  const store = replica.store as FaultyStore;
  const costs: Cost[] = [];
  for (const seed of SEEDS) {
    store.writes.length = 0;
    version++;
    await replica.commit(someOf(count, written, seed).map((at) => put(at, `value ${at}, version ${version}`)));
    expect(store.writes).toHaveLength(1);
    const { operations } = store.writes[0]!;
    const bytes = operations.reduce(
      (sum, operation) => sum + operation.key.length + (operation.type === 'put' ? operation.value.length : 0),
      0,
    );
    costs.push({ rows: operations.length, bytes });
  }
  return { rows: mean(costs.map(({ rows }) => rows)), bytes: mean(costs.map(({ bytes }) => bytes)) };
}

describe('a commit', () => {
  test('of one record writes little more in a larger replica', async (report) => {
    expect(await growth(report, 'rows', ENTRIES, async (count) => (await costOf(count, 1)).rows)).toBeLessThan(0.15);
    expect(await growth(report, 'bytes', ENTRIES, async (count) => (await costOf(count, 1)).bytes)).toBeLessThan(0.3);
  });

  test('of 1 to 1,000 records writes in proportion at most', async (report) => {
    const written = [1, 10, 100, 1_000];
    expect(await growth(report, 'rows', written, async (differences) => (await costOf(20_000, differences)).rows)).toBeLessThan(0.9);
    expect(await growth(report, 'bytes', written, async (differences) => (await costOf(20_000, differences)).bytes)).toBeLessThan(0.9);
  });
});
