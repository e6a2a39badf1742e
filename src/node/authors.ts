/**
 * Which host writes under which replica id. A replica id is one database of one host; members do not tell theirs in their
 * records, so it is learnt from whoever is or was connected. What a host wrote before it lost its database has no name any more.
 */
import type { Body } from './body.ts';
import type { AuthorStatus } from './answers.ts';
import type { Peers } from './peers.ts';

export interface AuthorParts {
  readonly body: Body;
  readonly peers: Peers;
  readonly own: { readonly nodeId: string; readonly name: string };
  /** The replica id of a host that was connected once. */
  readonly replicaOf: (nodeId: string) => string | undefined;
}

export function authorsOf({ body, peers, own, replicaOf }: AuthorParts): (replicaId: string) => AuthorStatus {
  const known = new Map<string, { readonly nodeId: string; readonly name: string }>();
  for (const { nodeId, name } of body.members.list()) {
    const replica = replicaOf(nodeId);
    if (replica !== undefined) known.set(replica, { nodeId, name });
  }
  for (const { hello } of peers.links.values())
    if (hello !== undefined) known.set(hello.replica, { nodeId: hello.nodeId, name: hello.name });
  known.set(body.replica.id, own);
  return (replicaId) => {
    const host = known.get(replicaId);
    return { replicaId, nodeId: host?.nodeId, name: host?.name, here: replicaId === body.replica.id };
  };
}
