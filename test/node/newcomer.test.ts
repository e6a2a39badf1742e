import { describe, expect, it, vi } from 'vitest';
import { silentLog } from '../../src/base/world.ts';
import { isLearning, LEARNING_CAPABILITY, Newcomer, NEWCOMER_ROWS } from '../../src/node/newcomer.ts';
import type { Member } from '../../src/node/members.ts';
import type { Hello } from '../../src/session/handshake.ts';
import { MemoryStore } from '../../src/store/memory-store.ts';

const OWN = 'own';

function saying(capabilities: readonly string[]): { readonly hello: Hello } {
  return { hello: { capabilities } as Hello };
}
const learning = saying([LEARNING_CAPABILITY, 'another']);
const knowing = saying(['another']);

async function world(rows = NEWCOMER_ROWS) {
  const store = new MemoryStore();
  await store.write(rows, { durable: true });
  const listed: string[] = [];
  const links = new Map<string, { readonly hello: Hello | undefined }>();
  let ends = 0;
  const make = () =>
    new Newcomer({
      nodeId: OWN,
      store,
      log: silentLog,
      members: { list: () => listed.map((nodeId) => ({ nodeId }) as Member) },
      links: () => links,
      onDone: () => ends++,
    });
  return { make, listed, links, ends: () => ends };
}

describe('a newcomer', () => {
  it('is one until it contains a root of a peer that knows the share, over restarts', async () => {
    const { make, ends } = await world();
    const first = make();
    first.contains(learning);
    expect(first.done).toBe(false);
    const second = make();
    expect(second.done).toBe(false);
    second.contains(knowing);
    second.contains(knowing);
    expect([second.done, ends()]).toEqual([true, 1]);
    await vi.waitFor(() => expect(make().done).toBe(true));
  });

  it('is one no more when all members are here and know no more than it does', async () => {
    const { make, listed, links } = await world();
    const newcomer = make();
    const check = (): boolean => {
      newcomer.check();
      return newcomer.done;
    };
    // The list is not known yet.
    expect(check()).toBe(false);
    links.set('b', learning);
    expect(check()).toBe(false);
    listed.push('b');
    expect(check()).toBe(false);
    listed.push(OWN, 'c');
    expect(check()).toBe(false);
    links.set('c', knowing);
    expect(check()).toBe(false);
    links.set('c', learning);
    expect(check()).toBe(true);
  });

  it('is one no more when all others were evicted', async () => {
    const { make, listed, links } = await world();
    links.set('b', learning);
    listed.push(OWN);
    const newcomer = make();
    newcomer.check();
    expect(newcomer.done).toBe(true);
  });

  it('is not what a host is that did not join', async () => {
    expect((await world([])).make().done).toBe(true);
    expect([learning, knowing, { hello: undefined }].map((link) => isLearning(link))).toEqual([true, false, false]);
  });
});
