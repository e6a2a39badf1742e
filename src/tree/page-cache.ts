/**
 * Decoded pages that were used lately, bounded by count and by bytes.
 *
 * The cache has two generations: a page that is used moves to the young one; when the young one is half of the bounds,
 * the old one is dropped and the young one becomes old. That evicts by age of last use, within a factor of two, for
 * one `Map` look-up per hit, where exact order would take three.
 */
import type { Page } from './page-codec.ts';

export class PageCache {
  readonly #pagesPerGeneration: number;
  readonly #bytesPerGeneration: number;
  #young = new Map<string, Page>();
  #old = new Map<string, Page>();
  #youngBytes = 0;

  constructor(pagesMax: number, bytesMax: number) {
    this.#pagesPerGeneration = Math.max(1, pagesMax >>> 1);
    this.#bytesPerGeneration = bytesMax / 2;
  }

  get(name: string): Page | undefined {
    const young = this.#young.get(name);
    if (young !== undefined) return young;
    const page = this.#old.get(name);
    if (page !== undefined) this.add(name, page);
    return page;
  }

  /** A page that is not in the young generation. */
  add(name: string, page: Page): void {
    if (this.#young.size >= this.#pagesPerGeneration || this.#youngBytes + page.memoryBytes > this.#bytesPerGeneration) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#youngBytes = 0;
    }
    this.#young.set(name, page);
    this.#youngBytes += page.memoryBytes;
  }
}
