/** Verbs that decide something for the share: invite or evict a host, answer a held mass delete, let go of what all have forgotten. */
import type { Invite, PurgeResult } from '../node/node-api.ts';
import { EXIT } from './exit.ts';
import { formatCount, formatPlural } from './quantities.ts';
import { printable, toJson, type VerbContext } from './terminal.ts';
import { connect, type LookOptions } from './verbs-status.ts';

export async function inviteVerb(context: VerbContext, options: LookOptions & { readonly expires: number }): Promise<number> {
  const invite = await connect(context, options.folder).post<Invite>('/v1/invite', { expiresMs: options.expires });
  context.terminal.out(options.json === true ? `${toJson(invite)}\n` : `${invite.joinLine}\n`);
  if (options.json !== true) context.terminal.err(`valid until ${invite.expires}\n`);
  return EXIT.done;
}

export async function deletesVerb(context: VerbContext, options: LookOptions & { readonly answer: string }): Promise<number> {
  const result = await connect(context, options.folder).post<{ readonly paths: number }>('/v1/deletes', { answer: options.answer });
  const done = options.answer === 'accept' ? 'deletion of' : 'restoring';
  context.terminal.out(
    options.json === true
      ? `${toJson({ answer: options.answer, paths: result.paths })}\n`
      : `${options.answer}ed: ${done} ${formatPlural(result.paths, 'path')}\n`,
  );
  return EXIT.done;
}

export async function evictVerb(context: VerbContext, options: LookOptions & { readonly peer: string }): Promise<number> {
  const { peer } = options;
  const evicted = await connect(context, options.folder).post<{ readonly nodeId: string; readonly name: string }>('/v1/evict', { peer });
  context.terminal.out(
    options.json === true
      ? `${toJson(evicted)}\n`
      : `evicted ${printable(evicted.name)} (${evicted.nodeId.slice(0, 8)}): no member talks to it any more\n`,
  );
  return EXIT.done;
}

export async function collectVerb(context: VerbContext, options: LookOptions): Promise<number> {
  const result = await connect(context, options.folder).post<PurgeResult>('/v1/gc', {});
  const waiting = result.waitingFor.length === 0 ? '' : `; not yet seen by ${result.waitingFor.map(printable).join(', ')}`;
  context.terminal.out(
    options.json === true
      ? `${toJson(result)}\n`
      : `${formatPlural(result.purged, 'mark')} of deleted paths dropped, ${formatCount(result.left)} left${waiting}\n`,
  );
  return EXIT.done;
}
