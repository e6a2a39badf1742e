/**
 * Figures as SVG: horizontal bars on a logarithmic axis, one for each contestant, with a whisker from its fastest to its
 * slowest run. Colours come from the style sheet inside, so that a page that is dark stays readable.
 */
import { OURS } from './options.mjs';

const WIDTH = 760;
const LEFT = 190;
const RIGHT = 90;
const TOP = 58;
const BAR = 16;
const ROW = 24;
const GROUP_HEAD = 26;
const AXIS = 44;

const STYLE = `text{font:12px system-ui,sans-serif;fill:#24292f}.title{font-size:15px;font-weight:600}.note{fill:#57606a}
.grid{stroke:#d0d7de}.whisker{stroke:#24292f;stroke-width:1.5}.bar{fill:#8c96a0}.ours{fill:#1a7f37}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.note{fill:#9da7b1}.grid{stroke:#3d444d}.whisker{stroke:#e6edf3}.bar{fill:#6e7781}.ours{fill:#3fb950}}`;

const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
const SCALES = [
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
];

/** 12,300 -> 12.3k. Seconds below one get all their zeros: 0.0123. */
function short(value) {
  const [scale, letter] = SCALES.find(([scale]) => value >= scale) ?? [1, ''];
  return `${Number((value / scale).toPrecision(3))}${letter}`;
}

/**
 * Whole powers of ten around all values: the axis of a logarithmic scale.
 * @param {readonly number[]} values above 0
 */
export function decades(values) {
  const low = Math.floor(Math.log10(Math.min(...values)) + 1e-9);
  const high = Math.ceil(Math.log10(Math.max(...values)) - 1e-9);
  return { low, high: Math.max(high, low + 1) };
}

/**
 * @param {{ title: string, note: string, axis: string, groups: readonly { label: string, bars: readonly
 *   { name: string, median: number, min: number, max: number }[] }[] }} figure values above 0
 * @returns {string} an SVG document
 */
export function drawBars({ title, note, axis, groups }) {
  const values = groups.flatMap(({ bars }) => bars.flatMap(({ min, max }) => [min, max]));
  const { low, high } = decades(values);
  const across = (value) => LEFT + ((Math.log10(value) - low) / (high - low)) * (WIDTH - LEFT - RIGHT);
  const heightOf = ({ bars }) => GROUP_HEAD + bars.length * ROW;
  const bottom = TOP + groups.reduce((sum, group) => sum + heightOf(group), 0);
  const lines = [];
  for (let exponent = low; exponent <= high; exponent++) {
    const x = across(10 ** exponent).toFixed(1);
    lines.push(`<line class="grid" x1="${x}" x2="${x}" y1="${TOP}" y2="${bottom + 4}"/>`);
    lines.push(`<text class="note" x="${x}" y="${bottom + 18}" text-anchor="middle">${short(10 ** exponent)}</text>`);
  }
  let y = TOP;
  for (const group of groups) {
    lines.push(`<text class="note" x="${LEFT}" y="${y + 17}">${escaped(group.label)}</text>`);
    for (const [index, bar] of group.bars.entries()) lines.push(...drawBar(bar, y + GROUP_HEAD + index * ROW, across));
    y += heightOf(group);
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${bottom + AXIS}" role="img" aria-label="${escaped(title)}">
<style>${STYLE}</style>
<text class="title" x="12" y="22">${escaped(title)}</text>
<text class="note" x="12" y="41">${escaped(note)}</text>
${lines.join('\n')}
<text class="note" x="${(LEFT + WIDTH - RIGHT) / 2}" y="${bottom + 36}" text-anchor="middle">${escaped(axis)}</text>
</svg>
`;
}

function drawBar({ name, median, min, max }, y, across) {
  const middle = y + BAR / 2;
  const style = name.startsWith(OURS) ? 'bar ours' : 'bar';
  const [from, end, least, most] = [LEFT, across(median), across(min), across(max)].map((x) => x.toFixed(1));
  return [
    `<text x="${LEFT - 8}" y="${middle + 4}" text-anchor="end">${escaped(name)}</text>`,
    `<rect class="${style}" x="${from}" y="${y}" width="${Math.max(1, Number(end) - LEFT).toFixed(1)}" height="${BAR}"/>`,
    `<path class="whisker" fill="none" d="M${least} ${middle}H${most}M${least} ${middle - 4}v8M${most} ${middle - 4}v8"/>`,
    `<text class="note" x="${(Math.max(Number(end), Number(most)) + 6).toFixed(1)}" y="${middle + 4}">${short(median)}</text>`,
  ];
}

/** The figures that a case asks for; a metric that nobody has a value above 0 for makes none. */
export function drawCase(result) {
  return result.figures.flatMap((metric) => {
    const { title, unit } = result.metrics[metric];
    const groups = result.parts.flatMap((part) => {
      const known = part.contestants.filter((one) => one.metrics[metric]?.min > 0);
      const bars = known.map(({ name, metrics }) => ({ name, ...metrics[metric] })).sort((a, b) => a.median - b.median);
      return bars.length === 0 ? [] : [{ label: part.label, bars }];
    });
    if (groups.length === 0) return [];
    const note = `${result.about}; median, whisker from least to most`;
    const axis = `${title}${unit === '' ? '' : `, ${unit}`} (logarithmic)`;
    return [{ name: `${result.case}-${metric.toLowerCase()}`, svg: drawBars({ title: `${result.case}: ${title}`, note, axis, groups }) }];
  });
}
