/**
 * How a member gets in where nobody has heard of it yet: its record, and those of all that lead from the founder to it, are shown at
 * the door. A host that was away when others joined would refuse them otherwise, for its list could only come from them.
 *
 * Invariant: what is shown adds members, and changes nothing that is known: a record counts only where this host has none for that
 * key, and the word of a member that is evicted here counts for nothing, whenever it was given. Who signed with a stolen
 * key may name any time, so a time proves nothing at the door; in the tree it does, where a member vouches for the rest.
 */
import { SamerootError, type ErrorCode } from '../base/errors.ts';
import { decodeEntry, encodeEntry } from '../entry/entry-codec.ts';
import type { Replica } from '../replica/replica.ts';
import type { EntryItem } from '../wire/messages.ts';
import { isMemberKey, memberKey, nodeIdOfKey, recordVersions, type Introduction, type MemberRecord } from './member-record.ts';

/** From the host itself up to the founder. */
export function introductionsOf(
  nodeId: string,
  replica: Pick<Replica, 'entry'>,
  introductions: ReadonlyMap<string, Introduction>,
): EntryItem[] {
  const items: EntryItem[] = [];
  for (let id: string | undefined = nodeId; id !== undefined;) {
    const entry = replica.entry(memberKey(id));
    const signer: string | undefined = introductions.get(id)?.signer;
    if (entry === undefined || signer === undefined) break;
    items.push({ key: memberKey(id), entry: encodeEntry(entry) });
    id = signer === id ? undefined : signer;
  }
  return items;
}

/** The list of members as this host knows it. */
export interface KnownMembers {
  readonly member: (nodeId: string) => { readonly evicted: boolean } | undefined;
  readonly versions: (nodeId: string) => readonly MemberRecord[] | undefined;
  readonly isIntroduction: (publicKey: Uint8Array, introduction: Introduction) => boolean;
}

/**
 * The items that are to be taken in so that `nodeId` is a member; or why it is none: `INVITER_EVICTED` where its records lead to
 * one who was evicted, `NOT_INVITED` where they lead to nobody.
 * @throws {SamerootError} `BAD_MESSAGE`, `BAD_ENCODING` for what no honest peer shows
 */
export function judgeIntroductions(nodeId: string, items: readonly EntryItem[], known: KnownMembers): readonly EntryItem[] | ErrorCode {
  const shown = readShown(items);
  const visited = new Set<string>();
  let metEvicted = false;
  const versionsOf = (id: string): readonly MemberRecord[] => known.versions(id) ?? shown.get(id) ?? [];
  /** Those that lead from a member down to this one; undefined: none do. */
  const chainTo = (id: string): readonly string[] | undefined => {
    const member = known.member(id);
    if (member !== undefined) {
      metEvicted ||= member.evicted;
      return member.evicted ? undefined : [];
    }
    const versions = versionsOf(id);
    if (visited.has(id) || versions.some(({ standing }) => standing?.evicted === true)) return undefined;
    visited.add(id);
    for (const { introduction } of versions) {
      const above = chainTo(introduction.signer);
      if (above === undefined) continue;
      // The first wrong one ends it: a stranger is not to make this host verify thousands.
      const publicKey = versionsOf(introduction.signer)[0]?.introduction.publicKey;
      if (publicKey === undefined || !known.isIntroduction(publicKey, introduction)) throw badMessage('that its member has not signed');
      return [...above, id];
    }
    return undefined;
  };
  const chain = chainTo(nodeId);
  if (chain !== undefined)
    return items.filter(({ key }) => chain.includes(nodeIdOfKey(key)) && known.versions(nodeIdOfKey(key)) === undefined);
  return metEvicted ? 'INVITER_EVICTED' : 'NOT_INVITED';
}

function readShown(items: readonly EntryItem[]): Map<string, readonly MemberRecord[]> {
  const shown = new Map<string, readonly MemberRecord[]>();
  for (const { key, entry } of items) {
    const versions = recordVersions(key, decodeEntry(entry));
    if (!isMemberKey(key) || versions.length === 0) throw badMessage('that is none');
    shown.set(nodeIdOfKey(key), versions);
  }
  return shown;
}

function badMessage(what: string): SamerootError {
  return new SamerootError('BAD_MESSAGE', `the peer showed an introduction ${what}`);
}
