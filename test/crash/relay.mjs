/**
 * Asks HTTP on behalf of another process, from the network name space that this one runs in: a request is a line of JSON
 * on standard input, `{ id, url, options }` as for `fetch`; its answer is a line on standard output.
 */
import { createInterface } from 'node:readline';

async function ask({ id, url, options }) {
  try {
    const answer = await fetch(url, options);
    const { status, headers } = answer;
    const siblings = Number(headers.get('sameroot-siblings') ?? 0);
    return { id, status, etag: headers.get('etag') ?? undefined, siblings, text: await answer.text() };
  } catch (error) {
    return { id, error: String(error.cause ?? error) };
  }
}

createInterface({ input: process.stdin }).on('line', (line) => {
  void ask(JSON.parse(line)).then((answer) => process.stdout.write(`${JSON.stringify(answer)}\n`));
});
