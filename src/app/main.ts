#!/usr/bin/env node
/** The program: asks for a Node.js that can run the rest, then hands over to the command line. */
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 12)) {
  process.stderr.write(`sameroot: Node.js 20.12 or newer is needed, this is ${process.versions.node}; see https://nodejs.org\n`);
  process.exitCode = 1;
} else {
  // Imported here and not above: an older Node.js would fail in what they import before it came to this line.
  const { availableParallelism } = await import('node:os');
  const { tierUpLate } = await import('./tier-up.ts');
  tierUpLate(availableParallelism());
  const { runCli } = await import('./cli.ts');
  const { processTerminal } = await import('./terminal.ts');
  const context = { terminal: processTerminal(), environment: process.env, currentFolder: process.cwd() };
  const code = await runCli(process.argv.slice(2), context);
  // A standard input that nobody closes would keep the process; what was written is out when this callback comes.
  process.stdout.write('', () => process.exit(code));
}
