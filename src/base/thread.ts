/**
 * Where the compiled script of a worker thread is. Node 20 can not run TypeScript in a worker, so a test that runs from
 * the sources uses the built thread; in the product both are in `dist`.
 */
export function threadScript(moduleUrl: string, compiledPath: string): URL {
  const url = new URL(moduleUrl);
  if (url.pathname.endsWith('.js')) return new URL(`./${compiledPath.split('/').at(-1)!}`, url);
  const source = url.pathname.lastIndexOf('/src/');
  return new URL(`file://${url.pathname.slice(0, source)}/dist/${compiledPath}`);
}
