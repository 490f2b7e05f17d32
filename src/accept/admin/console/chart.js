// Small pictures of numbers, in SVG. Each says in words what it shows.

import { svg } from './dom.js';

const WIDTH = 240;
const HEIGHT = 36;

/** A line through the latest values; `null` is a gap. */
export function sparkline(values, label) {
  const known = values.filter((value) => value != null);
  const top = Math.max(...known, 0) || 1;
  const step = WIDTH / Math.max(values.length - 1, 1);
  const points = values.map((value, at) => (value == null ? null : [at * step, HEIGHT - 1.5 - (value / top) * (HEIGHT - 4)]));
  const line = path(points);
  const first = points.find(Boolean);
  const last = points.findLast(Boolean);
  const area = first ? `${line}L${fix(last[0])} ${HEIGHT}L${fix(first[0])} ${HEIGHT}Z` : '';
  return svg('svg', { class: 'spark', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label },
    svg('path', { class: 'area', d: area }),
    svg('path', { class: 'line', d: line, 'vector-effect': 'non-scaling-stroke' }));
}

/** How much of a whole: parts are `[share, class]`, drawn one after the other. */
export function bar(parts, label) {
  let at = 0;
  const rects = parts.map(([share, kind]) => {
    const width = Math.min(Math.max(share, 0) * 100, 100 - at);
    const rect = svg('rect', { x: fix(at), y: 0, width: fix(width), height: 6, class: kind });
    at += width;
    return rect;
  });
  return svg('svg', { class: 'bar', viewBox: '0 0 100 6', preserveAspectRatio: 'none', role: 'img', 'aria-label': label }, ...rects);
}

/** A histogram: a column for each bucket, from cumulative counts. */
export function columns(cumulative, label) {
  const counts = cumulative.map(({ count }, at) => count - (cumulative[at - 1]?.count ?? 0));
  const top = Math.max(...counts, 1);
  const width = 100 / Math.max(counts.length, 1);
  const rects = counts.map((count, at) => {
    const height = count === 0 ? 0.6 : Math.max((count / top) * 20, 1.4);
    return svg('rect', { x: fix(at * width), y: fix(20 - height), width: fix(width * 0.8), height: fix(height), class: count ? 'full' : 'none' });
  });
  return svg('svg', { class: 'columns', viewBox: '0 0 100 20', preserveAspectRatio: 'none', role: 'img', 'aria-label': label }, ...rects);
}

function path(points) {
  let drawn = '';
  let up = true;
  for (const point of points) {
    if (point) drawn += `${up ? 'M' : 'L'}${fix(point[0])} ${fix(point[1])}`;
    up = !point;
  }
  return drawn;
}

function fix(number) {
  return Number(number.toFixed(2));
}
