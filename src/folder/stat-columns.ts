/** Many stats in one block of numbers: it moves to another thread at no cost, where objects would take milliseconds. */
import type { DiskStat } from './placed.ts';

const COLUMNS = 5;

export class StatColumns {
  readonly numbers: Float64Array<ArrayBuffer>;

  constructor(source: Float64Array<ArrayBuffer> | number) {
    this.numbers = typeof source === 'number' ? new Float64Array(source * COLUMNS) : source;
  }

  set(index: number, stat: DiskStat): void {
    this.numbers.set([stat.inode, stat.bytes, stat.mtimeMs, stat.ctimeMs, stat.mode], index * COLUMNS);
  }

  get(index: number): DiskStat {
    const at = index * COLUMNS;
    const column = (offset: number): number => this.numbers[at + offset]!;
    return { inode: column(0), bytes: column(1), mtimeMs: column(2), ctimeMs: column(3), mode: column(4) };
  }
}
