/**
 * Where the time went: the top functions by self time of each profile that `--profile DIR` left.
 *
 *   node bench/support/profile-top.mjs DIR [COUNT]
 *
 * One block a thread: thread 0 is the main thread of a node process, the others its disk threads. Shares are of the time
 * in which the thread was not idle; a waiting system call (fsync, read) counts as work of the function that made it, and so
 * does the time in which the thread had no core (often in `postMessage`, which wakes another thread).
 */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

const [folder, count = '15'] = process.argv.slice(2);
if (folder === undefined) {
  process.stderr.write('usage: node bench/support/profile-top.mjs DIR [COUNT]\n');
  process.exit(2);
}

for (const file of readdirSync(folder).sort()) {
  if (!file.endsWith('.cpuprofile')) continue;
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(join(folder, file), 'utf8'));
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const selfMs = new Map();
  let busyMs = 0;
  let idleMs = 0;
  for (const [index, id] of samples.entries()) {
    const ms = timeDeltas[index] / 1000;
    const name = names.get(id);
    if (name === '(idle)') idleMs += ms;
    else {
      busyMs += ms;
      selfMs.set(name, (selfMs.get(name) ?? 0) + ms);
    }
  }
  const [, , , pid, thread] = file.split('.');
  process.stdout.write(`process ${pid} thread ${thread}: busy ${(busyMs / 1000).toFixed(2)} s, idle ${(idleMs / 1000).toFixed(2)} s\n`);
  const top = [...selfMs].sort(([, a], [, b]) => b - a).slice(0, Number(count));
  for (const [name, ms] of top) process.stdout.write(`  ${((ms / busyMs) * 100).toFixed(1).padStart(5)} %  ${name}\n`);
}

function nameOf({ functionName, url, lineNumber }) {
  const name = functionName === '' ? '(anonymous)' : functionName;
  return url === '' ? name : `${name}  ${basename(url)}:${lineNumber + 1}`;
}
