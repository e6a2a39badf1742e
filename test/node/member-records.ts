/** Member records with true signatures, of true and false claims. */
import { ByteReader } from '../../src/base/bytes.ts';
import type { Identity } from '../../src/net/identity.ts';
import { encodeMember } from '../../src/node/member-record.ts';

export interface RecordParts {
  /** Whose record it is. */
  readonly who: Identity;
  readonly introducer: Identity;
  /** Named as the introducer, if that is a lie. */
  readonly claimed?: Identity;
  readonly describer?: Identity;
  readonly describerClaimed?: Identity;
  readonly name?: string;
  readonly joinedMs?: number;
  readonly standing?: { readonly evicted: boolean; readonly sinceMs: number; readonly signer: Identity; readonly claimed?: Identity };
}

/** A record with true signatures of the ones that really sign. */
export function memberRecord({
  who,
  introducer,
  claimed,
  describer = introducer,
  describerClaimed,
  name = 'host',
  joinedMs = 5,
  standing,
}: RecordParts): Uint8Array {
  const unsigned = {
    nodeId: who.nodeId,
    introduction: {
      publicKey: who.publicKey,
      role: 0,
      joinedMs,
      signer: (claimed ?? introducer).nodeId,
      signature: new Uint8Array(64),
    },
    description: { name, address: 'host:1', signer: (describerClaimed ?? describer).nodeId, signature: new Uint8Array(64) },
    standing:
      standing === undefined
        ? undefined
        : {
            evicted: standing.evicted,
            sinceMs: standing.sinceMs,
            signer: (standing.claimed ?? standing.signer).nodeId,
            signature: new Uint8Array(64),
          },
  };
  const reader = new ByteReader(encodeMember(unsigned));
  const introduction = reader.sized(4096);
  reader.raw(64);
  const description = reader.sized(4096);
  reader.raw(64);
  const signed = standing === undefined ? undefined : { ...unsigned.standing!, signature: standing.signer.sign(reader.sized(4096)) };
  return encodeMember({
    ...unsigned,
    introduction: { ...unsigned.introduction, signature: introducer.sign(introduction) },
    description: { ...unsigned.description, signature: describer.sign(description) },
    standing: signed,
  });
}
