/** The command line: what was asked for, or a clear sentence about why that cannot be. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

/** All is compared with it. */
export const OURS = 'sameroot';

const USAGE = `node bench/peers/run.mjs [options]
  --case NAME[,NAME]   these cases; default all
  --peer NAME[,NAME]   these contestants beside ${OURS}; default all that are here
  --quick              small sizes, one run, goals are not judged
  --variants           further, larger sizes
  --runs N             how often each contestant runs; default 5
  --json               one JSON document a case, one a line
  --figures DIR        writes SVG files there
  --install            installs the missing programs with apt-get (as root)
  --keep               leaves the folders of the runs and tells where they are
  --list               lists cases and contestants`;

/**
 * @template {{ name: string, about: string }} Named
 * @param {readonly string[]} parameters
 * @param {{ cases: readonly Named[], contestants: readonly Named[] }} known
 * @throws {RangeError} a name or value that does not exist; the message says which and lists what does
 */
export function readOptions(parameters, { cases, contestants }) {
  const { values } = parseArgs({
    args: [...parameters],
    options: {
      case: { type: 'string', multiple: true, default: [] },
      peer: { type: 'string', multiple: true, default: [] },
      quick: { type: 'boolean', default: false },
      variants: { type: 'boolean', default: false },
      runs: { type: 'string' },
      json: { type: 'boolean', default: false },
      figures: { type: 'string' },
      install: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const runs = Number(values.runs ?? (values.quick ? 1 : 5));
  if (!(Number.isInteger(runs) && runs > 0)) throw new RangeError('--runs: not a whole number from 1 up');
  const wantedPeers = split(values.peer);
  return {
    quick: values.quick,
    variants: values.variants,
    runs,
    json: values.json,
    install: values.install,
    keep: values.keep,
    figures: values.figures === undefined ? undefined : resolve(values.figures),
    cases: choose('case', cases, split(values.case)),
    contestants: choose('peer', contestants, wantedPeers.length === 0 ? [] : [OURS, ...wantedPeers]),
    /** Somebody who names a peer wants it: that it is missing is an error then. */
    namedPeers: new Set(wantedPeers),
    text: values.help ? USAGE : values.list ? listing({ cases, contestants }) : undefined,
  };
}

const split = (texts) => texts.flatMap((text) => text.split(',')).filter((name) => name !== '');

/**
 * @template {{ name: string }} Named
 * @param {string} what
 * @param {readonly Named[]} known
 * @param {readonly string[]} wanted
 */
function choose(what, known, wanted) {
  const unknown = wanted.filter((name) => !known.some((one) => one.name === name));
  if (unknown.length > 0) {
    throw new RangeError(`--${what}: there is no ${unknown.join(', ')}; there are ${known.map(({ name }) => name).join(', ')}`);
  }
  return wanted.length === 0 ? [...known] : known.filter(({ name }) => wanted.includes(name));
}

function listing({ cases, contestants }) {
  const lines = (items) => items.map(({ name, about }) => `  ${name.padEnd(18)} ${about}`);
  return ['cases', ...lines(cases), 'contestants', ...lines(contestants)].join('\n');
}
