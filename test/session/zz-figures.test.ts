import { it } from 'vitest';
import { byteKey, utf8 } from '../../src/base/bytes.ts';
import { hash } from '../../src/content/hash.ts';
import { runWalk, Side } from './walks.ts';
const nameOf = (at: number): string => byteKey(utf8(`f/shard-${String(at % 100).padStart(3, '0')}/part-${String(at).padStart(7, '0')}.bin`));
it('figures', () => {
  for (const n of [2_000, 10_000, 100_000, 1_000_000]) {
    const model = new Map<string, Uint8Array>();
    for (let at = 0; at < n; at++) model.set(nameOf(at), hash('entry', utf8(`${at}`)));
    const base = new Side(model, 5);
    for (const d of [1, 10, 100, 1000, 10_000]) {
      if (d * 2 > n) continue;
      const copy = new Map(model);
      const step = Math.floor(n / d);
      for (let at = 0; at < d; at++) copy.set(nameOf(at * step + Math.floor(step / 2)), utf8(`changed ${at}`));
      const r = runWalk(base, new Side(copy, 5, base));
      console.log(`n=${n} d=${d} level=${base.tree.level} messages=${r.messages} bytes=${r.bytes} per=${Math.round(r.bytes / d)} largest=${r.largestBytes}`);
    }
  }
}, 200000);
