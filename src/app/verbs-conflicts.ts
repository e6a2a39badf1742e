/** Verbs for what was changed in two places at once, and for the story of a path. */
import type { ConflictsResult, ResolveResult, WhyResult } from '../node/answers.ts';
import { withQuery } from './client.ts';
import { describeConflicts, describeResolved } from './describe-conflicts.ts';
import { describeWhy } from './describe-why.ts';
import { EXIT } from './exit.ts';
import { locate } from './path-argument.ts';
import { toJson, type VerbContext } from './terminal.ts';
import { connect, endLine, watch, type LookOptions, type WatchOptions } from './verbs-status.ts';

/** Without a limit all of them, however many pages that takes. */
export async function conflictsVerb(
  context: VerbContext,
  options: WatchOptions & { readonly limit?: number; readonly check?: boolean },
): Promise<number> {
  const client = connect(context, options.folder);
  const get = async (): Promise<ConflictsResult> => {
    const items: ConflictsResult['items'][number][] = [];
    for (let after: string | undefined; ;) {
      const page: ConflictsResult = await client.get<ConflictsResult>(withQuery('/v1/conflicts', { after, limit: options.limit }));
      items.push(...page.items);
      after = page.next;
      if (after === undefined || options.limit !== undefined) return { ...page, items };
    }
  };
  const show = (result: ConflictsResult): string => (options.json === true ? toJson(result) : describeConflicts(context.terminal, result));
  if (options.watch === true) return watch(context.terminal, async () => show(await get()));
  const result = await get();
  context.terminal.out(endLine(show(result)));
  return options.check === true && result.items.length > 0 ? EXIT.different : EXIT.done;
}

export async function resolveVerb(
  context: VerbContext,
  options: LookOptions & { readonly path: string; readonly keep: string; readonly ifMatch?: string },
): Promise<number> {
  const { client, key } = locate(context, options.folder, options.path);
  const { keep, ifMatch } = options;
  const result = await client.post<ResolveResult>('/v1/conflicts/resolve', { key, keep, ifMatch });
  context.terminal.out(options.json === true ? `${toJson(result)}\n` : describeResolved(result));
  return EXIT.done;
}

export async function whyVerb(context: VerbContext, options: WatchOptions & { readonly path: string }): Promise<number> {
  const { client, key } = locate(context, options.folder, options.path);
  const show = async (): Promise<string> => {
    const result = await client.get<WhyResult>(withQuery('/v1/why', { key }));
    return options.json === true ? toJson(result) : describeWhy(context.terminal, result);
  };
  if (options.watch === true) return watch(context.terminal, show);
  context.terminal.out(endLine(await show()));
  return EXIT.done;
}
