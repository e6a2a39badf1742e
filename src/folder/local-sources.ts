/**
 * Contents that are on this disk already, brought into staging: out of the trash by a rename, or copied from another
 * file of the folder. Copies are verified chunk by chunk; files from the trash are those that were put there, by their stat,
 * as the rest of the folder is trusted by its placed rows.
 */
import { byteKey, toHex } from '../base/bytes.ts';
import { SamerootError } from '../base/errors.ts';
import { MIB } from '../base/limits.ts';
import { workAhead } from '../base/work-ahead.ts';
import type { Log } from '../base/world.ts';
import { contentHash, contentLevel, leafWeight, listedBytes, listLeaves, type ContentId } from '../content/content-list.ts';
import type { Replica } from '../replica/replica.ts';
import * as keyspace from '../store/keyspace.ts';
import { ContentIndex } from './content-index.ts';
import type { JobCaller } from './disk-jobs.ts';
import { TRASH_FOLDER } from './into-trash.ts';
import type { CopyItem } from './part-copies.ts';
import { OWN_FOLDER } from './paths.ts';
import { stagedName, type Staging } from './staging.ts';
import type { Trash } from './trash.ts';

export interface LocalSourcesOptions {
  readonly root: string;
  readonly replica: Replica;
  readonly staging: Staging;
  readonly trash: Trash;
  readonly writeThread: JobCaller;
  readonly log: Log;
}

export interface WantedContent {
  readonly content: ContentId;
  readonly bytes: number;
}

interface Search extends WantedContent {
  readonly paths: readonly string[];
}

const SMALL_PER_JOB = 512;
/** Some are copied while others are flushed; but few, for on a disk that is nearly full each would take what another needs. */
const TOGETHER_BYTES: number = 128 * MIB;
const TOGETHER_MAX = 8;
/** Of one content, in pages of its list: enough for all work threads. */
const COPIES_AHEAD_BYTES: number = 64 * MIB;

export class LocalSources {
  readonly #options: LocalSourcesOptions;
  readonly #index: ContentIndex;

  constructor(options: LocalSourcesOptions) {
    this.#options = options;
    this.#index = new ContentIndex(options.replica.store);
  }

  /** Those of the contents that are complete in staging now, by `byteKey`. */
  async obtain(wanted: readonly WantedContent[]): Promise<Set<string>> {
    const obtained = new Set<string>();
    // While it is being received, its receiver goes on.
    const unique = new Map(wanted.map((item) => [byteKey(item.content), item]));
    const all = [...unique.values()].filter(({ content }) => this.#options.staging.placeable(content) !== undefined);
    // Nearly always the newest place is right, and it costs no iterator.
    const newest = all.map((item) => ({ ...item, paths: [this.#index.path(item.content)].filter((path) => path !== undefined) }));
    await this.#attempt(newest, obtained);
    const others: Search[] = [];
    for (const {
      content,
      bytes,
      paths: [tried],
    } of newest) {
      if (obtained.has(byteKey(content))) continue;
      others.push({ content, bytes, paths: (await this.#index.paths(content)).filter((path) => path !== tried) });
    }
    await this.#attempt(others, obtained);
    return obtained;
  }

  async #attempt(searches: readonly Search[], obtained: Set<string>): Promise<void> {
    const left = (): Search[] => searches.filter(({ content, paths }) => paths.length > 0 && !obtained.has(byteKey(content)));
    for (const content of await this.#fromTrash(left())) obtained.add(byteKey(content));
    const small = left().filter(({ content }) => contentLevel(content) === 0);
    for (const content of await this.#copySmall(small)) obtained.add(byteKey(content));
    const large = left().filter(({ content }) => contentLevel(content) > 0);
    const weigh = ({ bytes }: Search): number => Math.max(bytes, TOGETHER_BYTES / TOGETHER_MAX);
    const copies = workAhead(large, { weigh, weightMax: TOGETHER_BYTES, work: (search) => this.#copyLarge(search) });
    for await (const content of copies) if (content !== undefined) obtained.add(byteKey(content));
  }

  async #fromTrash(searches: readonly Search[]): Promise<ContentId[]> {
    const { root, trash, staging, writeThread, replica } = this.#options;
    const items = searches.flatMap(({ content, paths }) => {
      const path = paths.find((path) => path.startsWith(`${TRASH_FOLDER}/`));
      const placed = path === undefined ? undefined : trash.get(path);
      return path === undefined || placed === undefined ? [] : [{ content, path, stat: placed.stat, name: stagedName(content) }];
    });
    if (items.length === 0) return [];
    const moved = await writeThread.call('takeFromTrash', {
      root,
      tmp: `${root}/${OWN_FOLDER}/tmp`,
      items: items.map(({ path, stat, name }) => ({ path, stat, name })),
    });
    const taken = items.filter((_, at) => moved[at] === true);
    for (const { name } of taken) staging.noteKept(name);
    await replica.store.write(
      taken.flatMap(({ path, content }) => trash.rowsTaken(path, content)),
      { durable: false },
    );
    return taken.map(({ content }) => content);
  }

  async #copySmall(searches: readonly Search[]): Promise<ContentId[]> {
    const { staging } = this.#options;
    const copied: ContentId[] = [];
    let left = searches;
    for (let attempt = 0; left.length > 0; attempt++) {
      const failed: Search[] = [];
      for (let from = 0; from < left.length; from += SMALL_PER_JOB) {
        const some = left.slice(from, from + SMALL_PER_JOB);
        const results = await staging.copyWhole(
          some.map(({ content, bytes, paths }) => ({
            path: paths[attempt]!,
            sourceOffset: 0,
            hash: contentHash(content),
            bytes,
            fileOffset: 0,
          })),
        );
        for (const [at, good] of results.entries()) {
          if (good) copied.push(some[at]!.content);
          else failed.push(some[at]!);
        }
      }
      left = failed.filter(({ paths }) => paths.length > attempt + 1);
    }
    await staging.finish(copied);
    return copied;
  }

  /** The content, if a file has all of it. */
  async #copyLarge({ content, bytes, paths }: Search): Promise<ContentId | undefined> {
    const { staging, log } = this.#options;
    for (const path of paths) {
      try {
        // It would be made as long as the entry says: what is not as its list is left to the fetcher, which says so.
        if (listedBytes(this.#listPage, content) !== bytes) return undefined;
        await staging.openPart(content, bytes);
        if (!(await this.#copyChunks(content, path))) continue;
        await staging.finish([content]);
        return content;
      } catch (error) {
        if (!(error instanceof SamerootError) || error.code !== 'CONTENT_MISSING') throw error;
        log.warn('content list is incomplete', { content: toHex(content) });
        return undefined;
      }
    }
    return undefined;
  }

  readonly #listPage = (hash: Uint8Array): Uint8Array | undefined => this.#options.replica.store.get(keyspace.listPageKey(hash));

  async #copyChunks(content: ContentId, path: string): Promise<boolean> {
    const { staging } = this.#options;
    const copies = workAhead(listLeaves(this.#listPage, content), {
      weigh: leafWeight,
      weightMax: COPIES_AHEAD_BYTES,
      work: ({ offsetBytes, refs }) => {
        let at = offsetBytes;
        const items: CopyItem[] = [];
        for (const { hash, bytes } of refs) {
          items.push({ path, sourceOffset: at, hash, bytes, fileOffset: at });
          at += bytes;
        }
        return staging.copyPart(content, items);
      },
    });
    for await (const copied of copies) if (copied.includes(false)) return false;
    return true;
  }
}
