// The overview: how much, how fast, how well, and for how much money.

import * as api from './api.js';
import { stands } from './backends.js';
import { bar, columns, sparkline } from './chart.js';
import { KINDS, decisionRows } from './decisions.js';
import { badge, cell, empty, h, list, replace, table, text } from './dom.js';
import { NONE, compact, count, percent, rate, seconds, usd } from './format.js';
import * as live from './live.js';
import * as money from './money.js';
import { quantile } from './prometheus.js';

const DIMENSIONS = ['backend', 'model', 'key', 'route', 'provider'];
/** Those that the metrics have as well. */
const OF_METRICS = ['backend', 'key'];
/** Lines of the table of spend. */
const MOST = 12;
/** The ledger is asked this often, in milliseconds. */
const EVERY = 5_000;

export function overview(root, { again }) {
  const flow = ['Requests a second', 'Failed', 'In flight', 'Tokens a second'].map(tile);
  const cost = ['Spent today', 'Spent in the last hour', 'Spent since the start', 'Saved today'].map(tile);
  const latency = h('tbody');
  const outcomes = h('ul', { class: 'outcomes' });
  const spend = h('div');
  const heading = h('h2', null, 'Spend today');
  const none = h('div');
  const states = h('ul', { class: 'states' });
  const last = h('tbody');
  let ledger = null;
  const by = h('select', { id: 'by', onchange: again }, ...DIMENSIONS.map((name) => h('option', null, name)));
  root.append(
    h('div', { class: 'tiles' }, ...flow.map((it) => it.box)),
    h('div', { class: 'tiles' }, ...cost.map((it) => it.box)),
    h('div', { class: 'halves' },
      h('section', { class: 'card' }, h('h2', null, 'Latency'),
        table('Latency', [['time'], ['p50', 'number'], ['p95', 'number'], ['p99', 'number'], ['requests', 'number'], ['distribution']], latency, 'latency'),
        h('h3', null, 'Outcomes since the start'), outcomes),
      h('section', { class: 'card' },
        h('div', { class: 'line' }, heading, h('label', { for: 'by' }, 'by'), by), spend)),
    h('section', { class: 'card' },
      h('div', { class: 'line' }, h('h2', null, 'Backends'), h('a', { href: '#/backends' }, 'all')), states),
    h('section', { class: 'card' },
      h('div', { class: 'line' }, h('h2', null, 'Latest decisions'), h('a', { href: '#/decisions' }, 'all')),
      table('Latest decisions', [['time'], ['asked for'], ['served by'], ['why'], ['key'], ['cost', 'number'], ['outcome']], last, 'stack'), none));
  const draw = () => {
    if (!live.latest()) return;
    drawFlow(flow);
    drawLatency(latency);
    drawOutcomes(outcomes);
    drawSinceStart(cost[2]);
  };
  const unwatch = live.watch(draw);
  return {
    every: EVERY,
    refresh: async (signal) => {
      const [health, latest] = await Promise.all([
        api.get('/admin/v1/backends', signal),
        api.get('/admin/v1/decisions', signal),
      ]);
      drawStates(states, health.backends);
      list(last, latest.decisions.slice(0, 6), (it) => it.request_id, decisionRows);
      replace(none, latest.decisions.length ? null : empty('No request was decided on since the start.'));
      if (ledger === null) {
        ledger = (await api.get('/admin/v1/config', signal)).config.store.ledger;
        if (ledger === 'none') {
          replace(by, ...OF_METRICS.map((name) => h('option', null, name)));
          text(heading, 'Spend since the start');
        }
      }
      if (ledger === 'none') withoutLedger(cost, spend, by.value);
      else await drawSpend(cost, spend, by.value, signal);
    },
    leave: unwatch,
  };
}

function tile(label) {
  const heading = h('h2', null, label);
  const value = h('p', { class: 'value' }, NONE);
  const note = h('p', { class: 'note' });
  const chart = h('div', { class: 'chart' });
  return { box: h('section', { class: 'tile' }, heading, value, note, chart), label: heading, value, note, chart };
}

function drawFlow([requests, failed, inflight, tokens]) {
  const window = live.recent();
  const now = live.latest();
  const over = (of) => (window ? (window.now[of] - window.before[of]) : null);
  const perSecond = (of) => (window ? over(of) / window.passed : null);
  text(requests.value, rate(perSecond('requests')));
  text(requests.note, `${count(now.requests)} since the start`);
  replace(requests.chart, sparkline(live.series((a, b, s) => (a.requests - b.requests) / s), 'Requests a second, the last minutes'));
  const share = window && over('requests') ? over('failed') / over('requests') : null;
  text(failed.value, percent(share));
  failed.box.classList.toggle('bad', (share ?? 0) >= 0.05);
  text(failed.note, `${count(now.failed)} since the start; ${count(now.limited)} over a limit or budget`);
  replace(failed.chart, sparkline(live.series((a, b, s) => (a.failed - b.failed) / s), 'Failed requests a second, the last minutes'));
  text(inflight.value, count(now.inflight));
  text(inflight.note, 'calls to backends');
  replace(inflight.chart, sparkline(live.series((a) => a.inflight), 'Calls in flight, the last minutes'));
  text(tokens.value, rate(perSecond('tokens')));
  text(tokens.note, `${compact(now.tokens)} since the start`);
  replace(tokens.chart, sparkline(live.series((a, b, s) => (a.tokens - b.tokens) / s), 'Tokens a second, the last minutes'));
}

function drawSinceStart(tile) {
  replace(tile.value, usd(live.latest().cost));
  const window = live.recent();
  const minute = window && ((window.now.cost - window.before.cost) * 60_000n) / BigInt(Math.round(window.passed * 1000));
  replace(tile.note, ...(minute === null ? ['of this process'] : [usd(minute), ' a minute now']));
}

function drawLatency(body) {
  const rows = live.HISTOGRAMS.map(([label, name]) => {
    const { cumulative, watched } = live.histogram(name);
    const all = cumulative.at(-1)?.count ?? 0;
    const at = (q) => seconds(quantile(q, cumulative));
    return h('tr', null,
      h('th', { scope: 'row' }, label),
      ...[0.5, 0.95, 0.99].map((q) => cell(`p${q * 100}`, 'number', at(q))),
      cell('requests', 'number', count(all), h('small', null, watched ? ' watched' : ' in all')),
      cell('distribution', 'wide', columns(cumulative, `${label}: distribution over ${cumulative.length} buckets`)));
  });
  replace(body, ...rows);
}

/** Without a ledger the metrics have to do: what they counted since the start. */
function withoutLedger([today, hour, , saved], box, by) {
  for (const it of [today, hour]) text(it.note, 'no ledger is kept');
  const families = live.latest()?.families;
  if (!families) return;
  const sum = (name) => money.sum((families.get(name) ?? []).map(({ text: amount }) => money.parse(amount) ?? 0n));
  text(saved.label, 'Saved since the start');
  replace(saved.value, usd(sum('tollgate_savings_usd_total') - sum('tollgate_overspent_usd_total')));
  text(saved.note, 'against the baselines of routes, for the same usage');
  const lines = new Map();
  const line = (labels) => {
    const name = labels[by];
    if (!lines.has(name)) lines.set(name, { row: { [by]: name, requests: null, tokens: { all: 0 } }, cost: 0n });
    return lines.get(name);
  };
  for (const { labels, text: cost } of families.get('tollgate_cost_usd_total') ?? []) line(labels).cost += money.parse(cost) ?? 0n;
  for (const { labels, value } of families.get('tollgate_tokens_total') ?? []) line(labels).row.tokens.all += value;
  drawLines(box, [...lines.values()], by, `Spend since the start by ${by}`);
}

function drawOutcomes(parent) {
  const counts = new Map();
  for (const { labels, value } of live.latest().families.get('tollgate_requests_total') ?? []) {
    counts.set(labels.outcome, (counts.get(labels.outcome) ?? 0) + value);
  }
  const all = live.latest().requests;
  const order = [...counts].sort(([, a], [, b]) => b - a);
  if (order.length === 0) return replace(parent, h('li', null, h('span', { class: 'note' }, 'No request has ended yet.')));
  replace(parent, ...order.map(([outcome, number]) => {
    const kind = KINDS[outcome] ?? 'bad';
    return h('li', null, badge(kind, outcome), h('span', { class: 'number' }, count(number)),
      bar([[number / all, kind]], percent(number / all)), h('small', null, percent(number / all)));
  }));
}

async function drawSpend([today, hour, , saved], box, by, signal) {
  const midnight = new Date();
  midnight.setHours(0, 0, 0, 0);
  const from = encodeURIComponent(midnight.toISOString());
  const [{ rows }, { rows: last }] = await Promise.all([
    api.get(`/admin/v1/spend?by=${by}&since=${from}`, signal),
    api.get('/admin/v1/spend?since=1h', signal),
  ]);
  const costs = rows.map((row) => money.parse(row.cost_usd) ?? 0n);
  const all = money.sum(costs);
  const unpriced = rows.reduce((sum, row) => sum + row.unpriced_attempts, 0);
  replace(today.value, usd(all));
  text(today.note, unpriced ? `and ${count(unpriced)} calls without a price` : 'since midnight, from the ledger');
  replace(saved.value, usd(money.sum(rows.map((row) => money.parse(row.saved_usd) ?? 0n))));
  text(saved.note, 'against the baselines of routes, for the same usage');
  replace(hour.value, usd(money.parse(last[0]?.cost_usd ?? '0')));
  text(hour.note, `${count(last[0]?.requests ?? 0)} requests`);
  drawLines(box, rows.map((row, at) => ({ row, cost: costs[at] })), by, `Spend today by ${by}`);
}

/** Lines of spend, the dearest first. */
function drawLines(box, lines, by, caption) {
  if (lines.length === 0) return replace(box, empty('Nothing was called.'));
  const all = money.sum(lines.map(({ cost }) => cost));
  const order = lines.sort((a, b) => (a.cost < b.cost ? 1 : -1));
  const body = h('tbody', null, ...order.slice(0, MOST).map((it) => spendRow(it, by, all)));
  replace(box, table(caption, [[by], ['requests', 'number'], ['tokens', 'number'], ['cost', 'number'], ['share']], body, 'stack spend'),
    order.length > MOST ? h('p', { class: 'note' }, `and ${order.length - MOST} more`) : null);
}

function spendRow({ row, cost }, by, all) {
  const tokens = Object.values(row.tokens).reduce((sum, it) => sum + it, 0);
  const part = money.share(cost, all);
  return h('tr', null,
    h('th', { scope: 'row', class: 'name' }, row[by] ?? 'none'),
    cell('requests', 'number', count(row.requests)),
    cell('tokens', 'number', compact(tokens)),
    cell('cost', 'number', usd(cost)),
    cell('share', 'wide', bar([[part, 'spent']], percent(part))));
}

function drawStates(parent, backends) {
  list(parent, backends.map((it) => ({ name: it.name, state: stands(it), reason: it.standing.reason, calls: it.in_flight })), (it) => it.name,
    (it) => h('li', { title: it.reason ?? it.state },
      h('span', { class: `dot ${it.state}`, 'aria-hidden': 'true' }), h('span', { class: 'name' }, it.name),
      h('small', null, it.state === 'up' && it.calls ? `${it.calls} in flight` : it.state)));
}
