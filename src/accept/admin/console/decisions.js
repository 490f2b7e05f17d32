// The latest decisions: who was considered for a request, who was chosen and why, what the others
// would have cost, and how it ended.

import * as api from './api.js';
import { bar } from './chart.js';
import { badge, cell, dialog, empty, h, list, replace, table, text } from './dom.js';
import { NONE, count, exactly, rate, time } from './format.js';
import * as money from './money.js';

/** In which colour an outcome stands; any other is bad. */
export const KINDS = { ok: 'good', client_error: 'warn', refused: 'warn', rate_limited: 'warn', over_budget: 'warn', cancelled: 'off' };

export function decisions(root, { rest }) {
  const body = h('tbody');
  const number = h('p', { class: 'note', role: 'status' });
  const filter = h('input', { type: 'search', id: 'filter', placeholder: 'backend, model, key, reason, id…', oninput: () => draw() });
  const outcome = h('select', { id: 'outcome', onchange: () => draw() }, h('option', { value: '' }, 'every outcome'),
    ...['ok', 'refused', 'client_error', 'rate_limited', 'over_budget', 'upstream_error', 'timeout', 'cut', 'cancelled'].map((it) => h('option', null, it)));
  const live = h('input', { type: 'checkbox', id: 'live', checked: true });
  root.append(
    h('div', { class: 'line tools' },
      h('label', { for: 'filter' }, 'Filter'), filter, h('label', { class: 'unseen', for: 'outcome' }, 'Outcome'), outcome,
      h('label', { class: 'check', for: 'live' }, live, 'live'), number),
    h('div', { class: 'card' },
      table('Latest decisions', [['time'], ['asked for'], ['served by'], ['why'], ['key'], ['cost', 'number'], ['outcome']], body, 'stack')));
  let all = null;
  let wanted = rest;
  let box = null;

  const draw = () => {
    if (all === null) return;
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = all.filter((it) => fits(it, words, outcome.value));
    list(body, kept, (it) => it.request_id, decisionRows);
    text(number, all.length === 0 ? 'No request was decided on since the start.' : `${count(kept.length)} of the last ${count(all.length)}`);
  };
  const open = () => {
    if (!wanted || all === null) return;
    const it = all.find((one) => one.request_id === wanted);
    box = dialog('Why', 'drawer', it ? detail(it) : empty('This decision is not among the latest 256 any more.'));
    box.addEventListener('close', () => {
      box = null;
      if (location.hash !== '#/decisions') history.replaceState(null, '', '#/decisions');
      body.querySelector(`a[href="#/decisions/${CSS.escape(wanted)}"]`)?.focus();
      wanted = '';
    });
  };
  return {
    every: 2_000,
    refresh: async (signal) => {
      if (!live.checked && all !== null) return;
      all = (await api.get('/admin/v1/decisions', signal)).decisions;
      draw();
      if (!box) open();
    },
    moved: (id) => {
      box?.close();
      wanted = id;
      open();
    },
    leave: () => box?.close(),
  };
}

/** A row of a table of decisions; its first cell leads to the whole of it. */
export function decisionRows(it) {
  return h('tr', null,
    h('th', { scope: 'row' }, h('a', { href: `#/decisions/${it.request_id}`, 'aria-label': `Why: ${it.request_id}` }, time(it.at))),
    cell('asked for', 'name', it.route ?? it.model),
    cell('served by', 'name', it.served_by ?? NONE, it.attempts > 1 ? h('small', null, ` after ${it.attempts - 1} failed`) : null),
    cell('why', 'wrap', it.decision),
    cell('key', 'name', it.key ?? NONE),
    cell('cost', 'number', exactly(it.cost_usd)),
    cell('outcome', '', badge(KINDS[it.outcome] ?? 'bad', it.outcome === 'ok' ? 'ok' : `${it.outcome} ${it.status}`)));
}

/** Candidates and refusals: what decisions, explanations and the playground share. */
export function verdict({ candidates, refused, served_by: served = null }) {
  const cost = (it) => (it.expected_cost_usd == null ? null : money.parse(it.expected_cost_usd));
  const first = candidates.find((it) => it.backend === served) ?? candidates[0];
  const base = first ? cost(first) : null;
  const top = candidates.map(cost).reduce((most, it) => (it !== null && it > most ? it : most), 0n);
  const rows = candidates.map((it) => h('tr', it === first ? { class: 'first' } : null,
    h('th', { scope: 'row', class: 'name' }, it.backend,
      h('small', { class: 'reason' }, it === first ? `${served ? 'served' : 'first'} · ` : '',
        `${count(it.expected_prompt_tokens)} + ${count(it.expected_output_tokens)} tokens · quality ${quality(it)}${warm(it)}`)),
    cell('expected cost', 'number cost', cost(it) === null ? 'unpriced' : exactly(it.expected_cost_usd),
      cost(it) === null ? null : bar([[money.share(cost(it), top), it === first ? 'spent' : 'other']], `${it.backend}: ${exactly(it.expected_cost_usd)}`)),
    cell('against it', 'number', ...(it === first ? [] : against(cost(it), base)))));
  const refusals = refused.map((it) => h('tr', null,
    h('th', { scope: 'row', class: 'name' }, it.backend), cell('why not', 'wrap', it.detail), cell('reason', '', h('code', null, it.reason))));
  return [
    rows.length ? [h('h3', null, 'Could have served, in the order in which they are asked'),
      table('Candidates', [['backend'], ['expected cost', 'number'], ['against it', 'number']], h('tbody', null, ...rows), 'stack verdict')] : null,
    refusals.length ? [h('h3', null, 'Were not asked'),
      table('Refused', [['backend'], ['why not'], ['reason']], h('tbody', null, ...refusals), 'stack verdict')] : null,
  ].flat();
}

/** A chance and, where it is not certain, what surrounds it four of five times; and what it was before outcomes moved it. */
function quality({ quality: p, quality_low: low, quality_high: high, quality_predicted: before }) {
  if (p == null) return 'not known';
  const moved = before != null && before !== p ? `, ${before} before outcomes` : '';
  return (low === p && high === p ? p : `${p} (${low} to ${high})`) + moved;
}

/** What a backend has of the prompt in its cache, and what the turn would cost without. */
function warm({ expected_cached_tokens: tokens, fresh_cost_usd: fresh }) {
  return tokens > 0 ? ` · ${count(tokens)} of them cached, ${exactly(fresh)} without` : '';
}

function detail(it) {
  const facts = [
    ['Request', h('code', null, it.request_id)], ['Ended', time(it.at, { date: true })],
    ['Key', it.key ?? 'none was asked for'], ['Asked for', it.route ? `${it.route} (a route)` : it.model],
    ['Served by', it.served_by ?? 'nobody'], ['Attempts', count(it.attempts)],
    ['Cost', exactly(it.cost_usd)], ['Ended as', `${it.outcome}, status ${it.status}`],
  ];
  return h('div', null,
    h('p', { class: 'lead' }, it.decision),
    h('dl', { class: 'facts' }, ...facts.flatMap(([name, value]) => [h('dt', null, name), h('dd', null, value)])),
    ...verdict(it).filter(Boolean),
    h('p', { class: 'note' }, 'Costs of candidates were estimated before the call; the cost above is what the ledger has of the call that answered.'));
}

/** How much more, or less, one would have cost than the other, and how many times as much. */
function against(cost, base) {
  if (cost === null || base === null) return [NONE];
  const more = cost - base;
  if (more === 0n) return ['the same'];
  const times = base === 0n ? null : h('small', null, ` ×${rate(money.share(cost, base))}`);
  return [`${more < 0n ? '−' : '+'}$${money.exact(more < 0n ? -more : more)}`, times];
}

function fits(it, words, outcome) {
  if (outcome && it.outcome !== outcome) return false;
  const all = [it.request_id, it.key, it.route, it.model, it.served_by, it.decision, it.outcome, it.status].join(' ').toLowerCase();
  return words.every((word) => all.includes(word));
}
