// Backends: how each one stands and why; out of service, and back.

import * as api from './api.js';
import { badge, cell, empty, h, list, replace, say, table } from './dom.js';
import { NONE, count, seconds } from './format.js';
import * as live from './live.js';

const KINDS = { up: 'good', trial: 'warn', cooling: 'warn', open: 'bad', down: 'bad', drained: 'off' };
const BREAKERS = { closed: 'closed', half_open: 'half-open', open: 'open' };

export function backends(root, { again }) {
  const body = h('tbody');
  const pools = h('div');
  root.append(
    h('p', { class: 'lead' }, 'A drained backend finishes its calls and gets no new ones. It stays drained over reloads, and until a restart.'),
    h('div', { class: 'card' },
      table('Backends', [['backend'], ['state'], ['breaker'], ['in flight', 'number'], ['first token', 'number'], ['calls', 'number'], ['failed', 'number'], ['']], body, 'stack')),
    pools);
  return {
    every: 2_000,
    refresh: async (signal) => {
      const all = await api.get('/admin/v1/backends', signal);
      const shown = all.backends.map((it) => ({ ...it, ...calls(it.name), left: Math.ceil((it.standing.left_ms ?? 0) / 1000) }));
      for (const it of shown) delete it.standing.left_ms;
      list(body, shown, (it) => it.name, (it) => row(it, again));
      drawPools(pools, all.api_keys);
    },
  };
}

/** In a word: whether it is drained comes before how it is. */
export function stands({ drained, standing }) {
  return drained ? 'drained' : standing.state;
}

/** Calls since the start, from the metrics. */
function calls(name) {
  let [all, failed] = [0, 0];
  for (const { labels, value } of live.latest()?.families?.get('tollgate_attempts_total') ?? []) {
    if (labels.backend !== name) continue;
    all += value;
    if (labels.result === 'error' || labels.result === 'timeout') failed += value;
  }
  return { calls: all, failed };
}

function row(it, again) {
  let acting = false;
  const act = async () => {
    // not `disabled`: a button that is loses the focus
    if (acting) return;
    acting = true;
    const word = it.drained ? 'resume' : 'drain';
    try {
      const done = await api.post(`/admin/v1/backends/${api.name(it.name)}/${word}`);
      const without = [...done.models_without_backends, ...done.routes_without_backends];
      say(`${it.name} is ${done.drained ? 'drained' : 'back'}.${without.length ? ` Without a backend now: ${without.join(', ')}.` : ''}`, without.length ? 'warn' : 'ok');
    } catch (error) {
      say(error.message, 'bad');
    }
    acting = false;
    again();
  };
  const first = it.learned.first_token_ms;
  return h('tr', null,
    h('th', { scope: 'row', class: 'name' }, it.name),
    cell('state', '', badge(KINDS[stands(it)] ?? 'off', stands(it)),
      it.standing.reason ? h('small', { class: 'reason' }, it.standing.reason) : null),
    cell('breaker', '', it.breaker === 'closed' ? BREAKERS.closed : badge(it.breaker === 'open' ? 'bad' : 'warn', BREAKERS[it.breaker])),
    cell('in flight', 'number', count(it.in_flight)),
    cell('first token', 'number', first == null ? NONE : seconds(first / 1000)),
    cell('calls', 'number', count(it.calls)),
    cell('failed', 'number', count(it.failed)),
    cell('', 'act', h('button', { type: 'button', onclick: act, 'aria-label': `${it.drained ? 'Resume' : 'Drain'} ${it.name}` }, it.drained ? 'Resume' : 'Drain')));
}

function drawPools(box, pools) {
  const names = Object.keys(pools).sort();
  if (names.length === 0) return replace(box);
  const rows = names.flatMap((provider) => pools[provider].map((key) => h('tr', null,
    h('th', { scope: 'row', class: 'name' }, provider),
    cell('key', '', h('code', null, `${key.sha256}…`)),
    cell('state', '', badge(KINDS[key.standing.state] ?? 'off', key.standing.state),
      key.standing.reason ? h('small', { class: 'reason' }, key.standing.reason) : null),
    cell('calls', 'number', count(key.calls)))));
  replace(box, h('section', { class: 'card' }, h('h2', null, 'Keys of providers that have several'),
    rows.length ? table('Keys of providers', [['provider'], ['SHA-256'], ['state'], ['calls', 'number']], h('tbody', null, ...rows), 'stack') : empty('None.')));
}
