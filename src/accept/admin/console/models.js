// Models and prices: what can be asked for, where it runs, what it costs.

import * as api from './api.js';
import { badge, cell, empty, h, replace, table } from './dom.js';
import { NONE, compact } from './format.js';

export function models(root) {
  const routes = h('div');
  const all = h('div');
  root.append(routes, all);
  return {
    every: 30_000,
    refresh: async (signal) => {
      const { data, routes: how } = await api.get('/admin/v1/models', signal);
      drawRoutes(routes, how);
      drawModels(all, data);
    },
  };
}

function drawRoutes(box, routes) {
  const names = Object.keys(routes);
  if (names.length === 0) return replace(box);
  const rows = names.map((name) => {
    const it = routes[name];
    return h('tr', null,
      h('th', { scope: 'row', class: 'name' }, name),
      cell('objective', '', it.objective),
      cell('floor', 'number', it.min_quality ?? NONE),
      cell('uncertain', '', it.on_uncertain),
      cell('fallback', '', it.fallback ? 'yes' : 'no'),
      cell('baseline', 'name', it.baseline ?? NONE),
      cell('candidates', 'wrap', it.candidates.join(', ')));
  });
  replace(box, h('section', { class: 'card' }, h('h2', null, 'Routes'),
    table('Routes', [['route'], ['objective'], ['floor', 'number'], ['uncertain'], ['fallback'], ['baseline'], ['candidates']], h('tbody', null, ...rows), 'stack')));
}

function drawModels(box, data) {
  const own = data.filter((it) => it.kind === 'model');
  const aliases = data.filter((it) => it.kind === 'alias');
  const rows = own.flatMap((model) => model.backends.map((backend, at) => row(model, backend, at)));
  replace(box, h('section', { class: 'card' }, h('h2', null, 'Models and prices'),
    h('p', { class: 'note' }, 'US dollars per 1,000,000 tokens, as they apply now.'),
    rows.length
      ? table('Models and prices', [['model'], ['backend'], ['input', 'number'], ['cached', 'number'], ['output', 'number'], ['price'], ['context', 'number'], ['quality', 'number'], ['can']], h('tbody', null, ...rows), 'stack')
      : empty('No model is configured.'),
    aliases.length ? h('p', { class: 'note' }, `Aliases: ${aliases.map((it) => it.id).join(', ')}`) : null));
}

function row(model, backend, at) {
  const { pricing } = backend;
  return h('tr', at ? { class: 'more' } : null,
    h('th', { scope: 'row', class: 'name' }, at ? h('span', { class: 'again' }, model.id) : model.id),
    cell('backend', 'name', backend.id),
    cell('input', 'number', pricing.input ?? NONE),
    cell('cached', 'number', pricing.cache_read ?? NONE),
    cell('output', 'number', pricing.output ?? NONE),
    cell('price', '', pricing.kind === 'unpriced' ? badge('warn', 'unpriced') : pricing.kind.replace('_', '-')),
    cell('context', 'number', compact(backend.context_length)),
    cell('quality', 'number', backend.quality ?? NONE),
    cell('can', 'wrap small', backend.capabilities === null ? 'not declared' : backend.capabilities.join(' ') || NONE));
}
