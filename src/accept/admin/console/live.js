// What the metrics say over time: read again and again while the page can be seen, and kept for
// some minutes, in memory. Rates are differences between two readings.

import * as api from './api.js';
import * as money from './money.js';
import { buckets, parse, since, total } from './prometheus.js';

/** Milliseconds between two readings, at least. */
const PACE = 2_000;
/** A reading may take a part of the time: large gateways are read more rarely. */
const PART = 10;
/** Readings that are kept. */
const KEPT = 150;
/** Points of a sparkline, at least. */
const POINTS = 15;
/** What counts as recent, in milliseconds. */
const RECENT = 60_000;

export const HISTOGRAMS = [
  ['First token', 'tollgate_time_to_first_token_seconds'],
  ['Whole request', 'tollgate_request_duration_seconds'],
  ['Added by tollgate', 'tollgate_overhead_seconds'],
  ['Between tokens', 'tollgate_time_per_output_token_seconds'],
];

/** Outcomes that are the fault of neither client nor limits. */
const FAILED = new Set(['upstream_error', 'timeout', 'cut']);

const listeners = new Set();
let readings = [];
let timer = null;
let failed = null;

/** Is told after each reading; the answer stops that. */
export function watch(listener) {
  listeners.add(listener);
  if (readings.length) listener();
  return () => listeners.delete(listener);
}

export function start() {
  if (timer === null) read();
}

export function stop() {
  clearTimeout(timer);
  timer = null;
  readings = [];
}

/** The failure of the last reading, or `null`. */
export function failure() {
  return failed;
}

export function latest() {
  return readings.at(-1) ?? null;
}

/** Differences between neighbours, for a sparkline: `each(after, before, seconds)`. */
export function series(each) {
  const points = readings.slice(1).map((now, at) => {
    const before = readings[at];
    const passed = (now.at - before.at) / 1000;
    // a tab that slept, or counters that began anew, tell nothing
    return passed > 30 || now.requests < before.requests ? null : each(now, before, passed);
  });
  return [...Array(Math.max(POINTS - points.length, 0)).fill(null), ...points];
}

/** Now, and the reading that began the last minute. */
export function recent() {
  const now = latest();
  const before = readings.find((it) => now.at - it.at <= RECENT && it.requests <= now.requests);
  return before && before !== now ? { now, before, passed: (now.at - before.at) / 1000 } : null;
}

/** A histogram of the time that was watched, or since the start where nothing came meanwhile. */
export function histogram(name) {
  const now = latest()?.histograms.get(name) ?? [];
  const watched = since(now, readings[0]?.histograms.get(name));
  const some = readings.length > 1 && (watched.at(-1)?.count ?? 0) > 0;
  return { cumulative: some ? watched : now, watched: some };
}

async function read() {
  const began = performance.now();
  timer = 0;
  if (!document.hidden) {
    try {
      add(parse(await api.metrics()));
      failed = null;
    } catch (error) {
      failed = error;
    }
    if (timer === null) return;
    for (const listener of listeners) listener();
  }
  timer = setTimeout(read, Math.max(PACE, (performance.now() - began) * PART));
}

function add(families) {
  const failure = ({ outcome }) => FAILED.has(outcome);
  const costs = (families.get('tollgate_cost_usd_total') ?? []).map(({ text }) => money.parse(text) ?? 0n);
  const reading = {
    at: Date.now(),
    families,
    requests: total(families, 'tollgate_requests_total'),
    failed: total(families, 'tollgate_requests_total', failure),
    limited: total(families, 'tollgate_requests_total', ({ outcome }) => outcome === 'rate_limited' || outcome === 'over_budget'),
    inflight: total(families, 'tollgate_inflight_requests'),
    tokens: total(families, 'tollgate_tokens_total'),
    cost: money.sum(costs),
    histograms: new Map(HISTOGRAMS.map(([, name]) => [name, buckets(families, name)])),
  };
  // counters that fell are those of another process
  if (readings.length && reading.requests < latest().requests) readings = [];
  readings.push(reading);
  // the text of old readings is not needed any more
  if (readings.length > 1) readings.at(-2).families = null;
  if (readings.length > KEPT) readings.shift();
}
