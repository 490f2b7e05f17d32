// Explain: what would be done with a request, without calling anyone.

import * as api from './api.js';
import { verdict } from './decisions.js';
import { badge, h, replace, text } from './dom.js';
import { count, exactly } from './format.js';

const EXAMPLE = JSON.stringify({
  model: 'auto',
  messages: [{ role: 'user', content: 'Prove that √2 is irrational.' }],
  max_tokens: 500,
}, null, 2);

export function explain(root) {
  const body = h('textarea', { id: 'request', rows: 14, spellcheck: 'false', class: 'code' });
  body.value = EXAMPLE;
  const holder = h('select', { id: 'holder' }, h('option', { value: '' }, 'nobody in particular'));
  const error = h('p', { class: 'error', role: 'alert' });
  const answer = h('div', { class: 'card', 'aria-live': 'polite', hidden: true });
  const form = h('form', { class: 'card', onsubmit: ask },
    h('label', { for: 'request' }, 'A request to /v1/chat/completions'), body,
    h('div', { class: 'line' }, h('label', { for: 'holder' }, 'as'), holder, h('button', { class: 'primary' }, 'Explain'), error));
  body.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  root.append(h('p', { class: 'lead' }, 'Who would serve a request, and why not the others. Nobody is called, and nothing is spent.'), form, answer);

  async function ask(event) {
    event.preventDefault();
    text(error, '');
    try {
      const query = holder.value ? `?key=${encodeURIComponent(holder.value)}` : '';
      const it = await api.post(`/admin/v1/explain${query}`, body.value);
      answer.hidden = false;
      replace(answer, ...shown(it));
    } catch (failure) {
      answer.hidden = true;
      text(error, failure.message);
    }
  }
  return { refresh: async (signal) => holders(holder, signal) };
}

/** Fills a choice with the keys that there are. */
export async function holders(select, signal) {
  const { keys } = await api.get('/admin/v1/keys', signal);
  const active = keys.filter((it) => it.state === 'active');
  select.append(...active.map((it) => h('option', { value: it.id }, it.id)));
}

function shown(it) {
  const { needs } = it;
  const facts = [
    ['Needs', [...needs.capabilities.map((cap) => badge('off', cap)), needs.capabilities.length ? ' ' : 'text only']],
    ['Prompt', `about ${count(needs.prompt_tokens)} tokens`],
    ['Output', needs.max_output_tokens === null ? 'no limit asked for' : `at most ${count(needs.max_output_tokens)} tokens`],
    ['Domain', needs.domain],
    ['Floor', needs.min_quality ?? 'none'],
    ['Novelty', needs.novelty ?? 'not read'],
    ['Baseline', it.baseline ? `${it.baseline.model}: ${exactly(it.baseline.expected_cost_usd)}` : 'none'],
  ];
  return [
    h('h2', null, it.error ? 'Nobody can serve it' : it.chosen),
    h('p', { class: it.error ? 'error' : 'lead' }, it.error ?? it.decision),
    h('dl', { class: 'facts' }, ...facts.flatMap(([name, value]) => [h('dt', null, name), h('dd', null, value)])),
    ...verdict(it),
  ];
}
