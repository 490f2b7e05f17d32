// Reads Prometheus' text format, and what its counters and histograms say.

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

/** Every series by the name of its family: `{labels, text, value}`. */
export function parse(text) {
  const families = new Map();
  for (const line of text.split('\n')) {
    const match = line[0] === '#' ? null : LINE.exec(line);
    if (!match) continue;
    const [, name, labels = '', number] = match;
    if (!families.has(name)) families.set(name, []);
    families.get(name).push({ labels: read(labels), text: number, value: toNumber(number) });
  }
  return families;
}

/** The sum of a family's series, of those that `keep` keeps. */
export function total(families, name, keep = () => true) {
  let sum = 0;
  for (const { labels, value } of families.get(name) ?? []) if (keep(labels)) sum += value;
  return sum;
}

/** Buckets of a histogram over all its series: `[{le, count}]`, each with those below it. */
export function buckets(families, name) {
  const counts = new Map();
  for (const { labels, value } of families.get(`${name}_bucket`) ?? []) {
    const le = toNumber(labels.le);
    counts.set(le, (counts.get(le) ?? 0) + value);
  }
  const edges = [...counts.keys()].sort((a, b) => a - b);
  return edges.map((le) => ({ le, count: counts.get(le) }));
}

/** What came between two readings; all of it where the counters began anew. */
export function since(now, before) {
  const known = new Map((before ?? []).map(({ le, count }) => [le, count]));
  const anew = now.some(({ le, count }) => count < (known.get(le) ?? 0));
  return anew ? now : now.map(({ le, count }) => ({ le, count: count - (known.get(le) ?? 0) }));
}

/** The value below which a part `q` lies, interpolated in its bucket; `null` without any. */
export function quantile(q, cumulative) {
  const all = cumulative.at(-1)?.count ?? 0;
  if (all === 0) return null;
  const rank = q * all;
  let below = { le: 0, count: 0 };
  for (const bucket of cumulative) {
    if (bucket.count >= rank) {
      // beyond the last edge nothing is known but that it is beyond
      if (bucket.le === Infinity) return below.le;
      const inside = bucket.count - below.count;
      const part = inside === 0 ? 0 : (rank - below.count) / inside;
      return below.le + (bucket.le - below.le) * part;
    }
    below = bucket;
  }
  return below.le;
}

function toNumber(text) {
  if (text === '+Inf') return Infinity;
  return text === '-Inf' ? -Infinity : Number(text);
}

function read(text) {
  const labels = {};
  for (const [, name, value] of text.matchAll(LABEL)) {
    labels[name] = value.replace(/\\(.)/g, (_, c) => (c === 'n' ? '\n' : c));
  }
  return labels;
}
