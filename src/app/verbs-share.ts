/** Verbs that decide something for the share: invite a host, answer a held mass delete. */
import type { Invite } from '../node/node-api.ts';
import { EXIT } from './exit.ts';
import { formatPlural } from './quantities.ts';
import { toJson, type VerbContext } from './terminal.ts';
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
