// Budgets that keys share: what each counts, what is spent and held of it, and when it begins anew.
// Those of single keys stand with the keys.

import * as api from './api.js';
import { bar } from './chart.js';
import { badge, cell, empty, h, list, replace, table } from './dom.js';
import { NONE, percent, time, usd } from './format.js';
import * as money from './money.js';

/** Rows that are shown at once. */
const MOST = 200;

export function budgets(root) {
  const body = h('tbody');
  const none = h('div');
  root.append(h('div', { class: 'card' },
    h('p', { class: 'note' }, 'A request needs money in every budget that counts it.'),
    table('Budgets', [['budget'], ['counts'], ['spent'], ['state'], ['soft limit', 'number'], ['begins anew']], body, 'stack'), none));
  return {
    every: 5_000,
    refresh: async (signal) => {
      const { budgets: found, more } = await api.get('/admin/v1/budgets', signal);
      list(body, found.slice(0, MOST), (it) => `${it.id} ${it.tag ?? ''}`, row);
      if (found.length === 0) replace(none, empty('No budget is shared.'));
      else replace(none, more || found.length > MOST ? empty(`Only the first ${MOST} are shown.`) : null);
    },
  };
}

function row(it) {
  return h('tr', null,
    h('th', { scope: 'row', class: 'name' }, it.id),
    cell('counts', 'name', it.tag ?? (it.route === null ? 'everything' : `route ${it.route}`)),
    cell('spent', 'budget', ...amounts(it)),
    cell('state', '', ...state(it)),
    cell('soft limit', 'number', it.soft === null ? NONE : usd(money.parse(it.soft))),
    cell('begins anew', '', it.resets_at ? time(it.resets_at, { date: true }) : NONE));
}

function state(it) {
  if (it.remaining_usd !== null && money.parse(it.remaining_usd) === 0n) return [badge('bad', 'spent')];
  return [it.over_soft ? badge('warn', 'over the soft limit') : badge('good', 'open')];
}

/** What is spent and held of a budget, as a sum and a bar; also of a key's own. */
export function amounts(it) {
  const limit = money.parse(it.usd);
  const spent = it.spent_usd == null ? null : money.parse(it.spent_usd);
  const held = it.held_usd == null ? 0n : money.parse(it.held_usd);
  if (spent === null) return [usd(limit), ` a ${it.per}`];
  const part = money.share(spent, limit);
  const words = `${percent(part)} of $${it.usd} spent, $${money.exact(held)} held`;
  const soft = it.soft == null ? null : money.parse(it.soft);
  const high = soft === null ? part >= 0.9 : spent > soft;
  return [
    h('span', { class: 'sum' }, usd(spent), h('small', null, ` of $${it.usd} ${it.per === 'total' ? 'in total' : `a ${it.per}`}`)),
    bar([[part, high ? 'over' : 'spent'], [money.share(held, limit), 'held']], words),
    held > 0n ? h('small', null, usd(held), ' held') : null,
  ];
}
