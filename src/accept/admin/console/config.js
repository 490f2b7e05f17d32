// The configuration in effect, and what came of reading it again.

import * as api from './api.js';
import { badge, cell, h, replace, say, table, text } from './dom.js';
import { time } from './format.js';

export function config(root, { again }) {
  const facts = h('dl', { class: 'facts' });
  const outcome = h('div', { 'aria-live': 'polite' });
  const sections = h('div', { class: 'tree' });
  const button = h('button', { type: 'button', onclick: () => reload(again) }, 'Read it again');
  root.append(
    h('section', { class: 'card' }, facts, h('div', { class: 'line' }, button), outcome),
    h('section', { class: 'card' }, h('h2', null, 'In effect'), h('p', { class: 'note' }, 'Secrets are shown as ***.'), sections));
  let drawn = '';
  return {
    every: 10_000,
    refresh: async (signal) => {
      const all = await api.get('/admin/v1/config', signal);
      // an opened section stays open until something changes
      const state = JSON.stringify(all);
      if (state === drawn) return;
      drawn = state;
      button.hidden = all.source.kind !== 'file';
      replace(facts,
        h('dt', null, 'From'), h('dd', null, all.source.kind === 'file' ? h('code', null, all.source.file) : 'no file: made at the start'),
        h('dt', null, 'Since'), h('dd', null, time(all.loaded_at, { date: true })),
        h('dt', null, 'Last read again'), h('dd', null, lastReload(all.last_reload)));
      drawOutcome(outcome, all.last_reload);
      drawSections(sections, all.config);
    },
  };
}

function lastReload(last) {
  if (!last) return 'never';
  return [badge(last.result === 'ok' ? 'good' : 'bad', last.result), ' ', time(last.at, { date: true }), ` (${last.cause})`];
}

function drawOutcome(box, last) {
  if (!last) return replace(box);
  if (last.result !== 'ok') {
    return replace(box, h('p', { class: 'error' }, 'The file has mistakes. Nothing of it is in effect; what was before goes on.'), found('Mistakes', last.mistakes));
  }
  const changes = last.changed.map((it) => h('li', null, h('code', null, it.path), ` ${it.difference}`));
  replace(box,
    changes.length ? h('ul', { class: 'changes' }, ...changes) : h('p', { class: 'note' }, 'Nothing changed.'),
    last.needs_restart?.length ? h('p', { class: 'warning' }, `Needs a restart: ${last.needs_restart.map((it) => it.path ?? it).join(', ')}`) : null,
    last.warnings.length ? found('Warnings', last.warnings) : null);
}

function found(caption, mistakes) {
  const rows = mistakes.map((it) => h('tr', null,
    cell('where', 'name', `${it.file}:${it.line}:${it.column}`),
    cell('path', '', h('code', null, it.path || 'the file')),
    cell('what', 'wrap', it.message, it.hint ? h('small', { class: 'reason' }, it.hint) : null)));
  return table(caption, [['where'], ['path'], ['what']], h('tbody', null, ...rows), 'stack');
}

function drawSections(box, all) {
  replace(box, ...Object.entries(all).map(([name, value]) => {
    const size = value && typeof value === 'object' ? Object.keys(value).length : null;
    const whole = h('pre', { tabindex: '0', 'aria-label': name });
    // thousands of keys are written out only where somebody looks
    const open = () => text(whole, JSON.stringify(value, null, 2));
    return h('details', { ontoggle: open }, h('summary', null, h('code', null, name), size === null ? null : h('small', null, ` ${size}`)), whole);
  }));
}

async function reload(again) {
  try {
    const report = await api.post('/admin/v1/reload');
    say(report.changed.length ? `In effect: ${report.changed.length} changes.` : 'Read again; nothing changed.');
  } catch (error) {
    say(error.message, 'bad');
  }
  again();
}
