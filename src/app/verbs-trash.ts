/** Verbs for the trash of this host: `trash list`, `trash restore`, `trash empty`. */
import { buffer } from 'node:stream/consumers';
import type { RestoreResult, TrashResult } from '../node/answers.ts';
import { withQuery } from './client.ts';
import { describeRestored, describeTrash } from './describe-conflicts.ts';
import { EXIT } from './exit.ts';
import { locateFile } from './path-argument.ts';
import { formatBytes, formatPlural } from './quantities.ts';
import { fromJson, toJson, type VerbContext } from './terminal.ts';
import { connect, type LookOptions } from './verbs-status.ts';

/** Without a limit it prints all pages, one after the other; with `--json` it is one document all the same. */
export async function trashListVerb(
  context: VerbContext,
  options: LookOptions & { readonly prefix?: string | undefined; readonly limit?: number },
): Promise<number> {
  const client = connect(context, options.folder);
  const all: TrashResult['items'][number][] = [];
  let after: string | undefined;
  do {
    const page: TrashResult = await client.get<TrashResult>(
      withQuery('/v1/trash', { prefix: options.prefix, after, limit: options.limit }),
    );
    if (options.json === true) all.push(...page.items);
    else context.terminal.out(describeTrash(page));
    after = page.next;
  } while (after !== undefined && options.limit === undefined);
  if (options.json === true) context.terminal.out(`${toJson({ items: all, next: after })}\n`);
  else if (after !== undefined) context.terminal.err('there is more; see --limit\n');
  return EXIT.done;
}

/** Failed if a file that was asked for stayed in the trash. */
export async function trashRestoreVerb(
  context: VerbContext,
  options: LookOptions & { readonly path: string; readonly as?: string; readonly day?: string; readonly force?: boolean },
): Promise<number> {
  const { client, path } = locateFile(context, options.folder, options.path);
  const as = options.as === undefined ? undefined : locateFile(context, options.folder, options.as).path;
  const result = await client.post<RestoreResult>('/v1/trash/restore', { path, as, day: options.day, force: options.force });
  context.terminal.out(options.json === true ? `${toJson(result)}\n` : describeRestored(result));
  for (const { path: skipped, code, message } of options.json === true ? [] : result.skipped) {
    context.terminal.err(`sameroot: ${code}: ${skipped}: ${message}\n`);
  }
  return result.skipped.length > 0 ? EXIT.failed : EXIT.done;
}

export async function trashEmptyVerb(context: VerbContext, options: LookOptions): Promise<number> {
  const answer = await connect(context, options.folder).call({ method: 'DELETE', path: '/v1/trash' });
  const removed = fromJson((await buffer(answer)).toString('utf8')) as { readonly files: number; readonly bytes: number };
  context.terminal.out(
    options.json === true ? `${toJson(removed)}\n` : `removed ${formatPlural(removed.files, 'file')}, ${formatBytes(removed.bytes)}\n`,
  );
  return EXIT.done;
}
