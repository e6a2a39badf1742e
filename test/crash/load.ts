/** Hosts under load: a writer on each, the model of all that they write, and the question at rest whether all of it is there. */
import { join } from 'node:path';
import { expect } from 'vitest';
import { converged, expectIdentical } from './checks.ts';
import { Choices } from './choices.ts';
import type { Host, Site } from './hosts.ts';
import { Model, ownerOf, shownOf, type Shown, type Verdict } from './model.ts';
import { readRecord, RECORD_KEYS, recordPath, Writer, type Tally } from './writers.ts';

export class Load {
  readonly tally: Tally = { writes: 0, bytes: 0, kinds: {} };
  /** How often a node asked whether all these deletes were meant. */
  heldDeletes = 0;
  readonly #hosts: readonly Host[];
  readonly #model = new Model();
  readonly #writers: readonly Writer[];

  private constructor(site: Site, hosts: readonly Host[], seed: number, pauseMs: number) {
    this.#hosts = hosts;
    this.#writers = hosts.map((host, index) => {
      const name = String.fromCharCode('a'.charCodeAt(0) + index);
      const outside = join(site.base, `outside-${name}`);
      return new Writer({
        name,
        host,
        model: this.#model,
        choices: new Choices(seed, `writer ${name}`),
        tally: this.tally,
        outside,
        pauseMs,
      });
    });
  }

  /** On hosts that are running and know each other. `pauseMs`: of each writer between two changes, on average. */
  static async on(site: Site, hosts: readonly Host[], seed: number, pauseMs: number): Promise<Load> {
    const load = new Load(site, hosts, seed, pauseMs);
    await load.#writers[0]!.makeRecords();
    await converged(...hosts);
    return load;
  }

  /** All write while the trouble lasts. */
  async during(trouble: () => Promise<void>): Promise<void> {
    let goesOn = true;
    const writing = this.#writers.map((writer) => writer.run(() => goesOn));
    try {
      // A writer that fails ends the trouble too.
      await Promise.race([trouble(), Promise.all(writing)]);
    } finally {
      goesOn = false;
      await Promise.all(writing);
    }
  }

  /** Waits until all is quiet: the folders are identical, nothing is lost, nothing has come back, nothing is torn. */
  async expectNothingLost(): Promise<Verdict> {
    for (const host of this.#hosts) await this.#answerDeletes(host);
    const contents = await expectIdentical(...this.#hosts);
    const sums = new Map(
      Object.entries(contents).flatMap(([path, what]) => (what.startsWith('file ') ? [[path, what.split(' ').at(-1)!]] : [])),
    );
    const shown = shownOf(sums);
    for (const key of RECORD_KEYS) shown.set(recordPath(key), await this.#shownRecord(key));
    const verdict = this.#model.judge(shown);
    expectSound(verdict);
    for (const host of this.#hosts) expect(await keysOfCopies(host)).toEqual([]);
    return verdict;
  }

  /** Users delete more while a node is down than it takes for granted. They did mean it. */
  async #answerDeletes(host: Host): Promise<void> {
    await host.ready();
    await host.call('POST', '/v1/scan');
    if ((await host.status())?.state !== 'held') return;
    this.heldDeletes++;
    await host.call('POST', '/v1/deletes', { answer: 'accept' });
  }

  async #shownRecord(key: string): Promise<Shown> {
    const [first, ...others] = await Promise.all(this.#hosts.map((host) => readRecord(host, recordPath(key))));
    for (const other of others) expect(other).toEqual(first);
    const [winner, ...siblings] = first!.sums;
    return { winner: winner!, others: siblings };
  }
}

export function expectSound({ lost, resurrected, strange, stories }: Verdict): void {
  expect({ lost, resurrected, strange }, stories.join('\n')).toEqual({ lost: [], resurrected: [], strange: [] });
}

/** Conflict copies show versions of another key; none may become an entry of its own by itself. */
async function keysOfCopies(host: Host): Promise<string[]> {
  const { items, next } = await host.call<{ items: readonly { key: string }[]; next: string | null }>(
    'GET',
    '/v1/ls?prefix=f/&limit=10000',
  );
  expect(next).toBeNull();
  return items.map(({ key }) => key).filter((key) => ownerOf(key) !== undefined);
}
