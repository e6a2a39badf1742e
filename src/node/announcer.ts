/**
 * Tells all peers the head of the tree.
 *
 * Invariant: a root is told only when everything that it says is shown on the disk, or is owed and written down as such.
 * What waits to be shown is waited for, but not for ever.
 */
import { equalBytes } from '../base/bytes.ts';
import type { Body } from './body.ts';
import type { PeerLink } from './peer-link.ts';

export interface AnnouncerParts {
  readonly body: () => Body | undefined;
  readonly links: () => Iterable<PeerLink>;
  /** A new root was told. */
  readonly onTold: (body: Body) => void;
}

export class Announcer {
  readonly #parts: AnnouncerParts;
  #told: Uint8Array | undefined;
  /** Something was written here since the last time. */
  #localChange = false;
  #waiting = false;

  constructor(parts: AnnouncerParts) {
    this.#parts = parts;
  }

  changedHere(): void {
    this.#localChange = true;
  }

  announce(): void {
    const body = this.#parts.body();
    if (body === undefined) return;
    const { replica, landing } = body;
    if (landing.unshown) {
      if (!this.#waiting) void this.#announceWhenShown(body);
      return;
    }
    const local = this.#localChange;
    this.#localChange = false;
    const { root } = replica.head;
    if (this.#told === undefined || !equalBytes(root, this.#told)) {
      this.#told = root;
      for (const link of this.#parts.links()) tell(link, body, local);
      this.#parts.onTold(body);
    }
    body.purge.headTold();
  }

  async #announceWhenShown({ landing }: Body): Promise<void> {
    this.#waiting = true;
    await landing.shown();
    this.#waiting = false;
    this.announce();
  }
}

/** `local`: it holds what was written on this host. */
export function tell(link: PeerLink, { replica }: Body, local: boolean): void {
  const { root, tree } = replica.head;
  link.step({ type: 'head', head: { root, tree }, local });
}
