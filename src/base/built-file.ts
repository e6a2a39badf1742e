/**
 * Where a file is that the build made: the script of a worker thread, a WebAssembly module. Node 20 can not run
 * TypeScript in a worker, so a test that runs from the sources uses what was built; in the product all is in `dist`.
 */
export function builtFile(moduleUrl: string, builtPath: string): URL {
  const url = new URL(moduleUrl);
  if (url.pathname.endsWith('.js')) return new URL(`./${builtPath.split('/').at(-1)!}`, url);
  const source = url.pathname.lastIndexOf('/src/');
  return new URL(`file://${url.pathname.slice(0, source)}/dist/${builtPath}`);
}
