// Keys: who may call, for how much, and what is spent of it. Those of the file are changed in the
// file; those of the store here. A secret is shown once, to who made it.

import * as api from './api.js';
import { amounts } from './budgets.js';
import { badge, cell, dialog, empty, h, list, replace, say, table, text } from './dom.js';
import { NONE, compact, count, time } from './format.js';

const KINDS = { active: 'good', expired: 'off', revoked: 'off', shadowed: 'warn' };
/** Rows that are shown at once, and keys up to which they are read again often. */
const MOST = 200;
const PERIODS = ['day', 'week', 'month', 'total'];

export function keys(root, { again }) {
  const body = h('tbody');
  const none = h('div');
  const make = h('button', { type: 'button', class: 'primary', onclick: () => edit(null, again) }, 'Create a key');
  const all = h('input', { type: 'checkbox', id: 'revoked', onchange: () => draw() });
  const filter = h('input', { type: 'search', id: 'filter', placeholder: 'id, model, tag…', oninput: () => draw() });
  root.append(
    h('div', { class: 'line tools' }, make, h('label', { class: 'unseen', for: 'filter' }, 'Filter'), filter, h('label', { class: 'check', for: 'revoked' }, all, 'revoked and expired too')),
    h('div', { class: 'card' },
      table('Keys', [['key'], ['state'], ['budget'], ['requests/min', 'number'], ['tokens/min', 'number'], ['at once', 'number'], ['models'], ['expires'], ['']], body, 'stack keys'), none));
  let found = [];
  const draw = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = found.filter((it) => (all.checked || !['revoked', 'expired'].includes(it.state)) && fits(it, words));
    list(body, kept.slice(0, MOST), (it) => `${it.source}:${it.id}`, (it) => row(it, again));
    const more = kept.length - MOST;
    if (more > 0) replace(none, empty(`and ${count(more)} more: the filter finds them`));
    else replace(none, kept.length ? null : empty(found.length ? 'No key fits.' : 'There are no keys yet.'));
  };
  return {
    get every() {
      return found.length > MOST ? 60_000 : 5_000;
    },
    refresh: async (signal) => {
      found = await every(signal);
      draw();
    },
  };
}

function fits(it, words) {
  const tags = Object.entries(it.tags ?? {}).map(([name, value]) => `${name}=${value}`);
  const all = [it.id, it.source, it.state, it.digest, ...(it.models ?? []), ...tags].join(' ').toLowerCase();
  return words.every((word) => all.includes(word));
}

async function every(signal) {
  let [found, next] = [[], ''];
  do {
    const page = await api.get(`/admin/v1/keys${next && `?after=${encodeURIComponent(next)}`}`, signal);
    found = found.concat(page.keys);
    next = page.next;
  } while (next);
  return found;
}

function row(it, again) {
  const own = it.source === 'store' && it.state !== 'revoked';
  const act = (word, what) => h('button', { type: 'button', 'aria-label': `${word} ${it.id}`, onclick: () => what(it, again) }, word);
  return h('tr', null,
    h('th', { scope: 'row', class: 'name' }, it.id, h('small', { class: 'reason' }, `${it.source} · ${it.digest}…`)),
    cell('state', '', badge(KINDS[it.state] ?? 'off', it.state),
      it.former_until ? h('small', { class: 'reason' }, 'old secret until ', time(it.former_until)) : null),
    cell('budget', 'budget', ...budget(it.budget)),
    cell('requests/min', 'number', it.limits.rpm == null ? NONE : compact(it.limits.rpm)),
    cell('tokens/min', 'number', it.limits.tpm == null ? NONE : compact(it.limits.tpm)),
    cell('at once', 'number', it.limits.max_concurrent ?? NONE),
    cell('models', 'wrap', it.models === null ? 'all' : it.models.join(', ') || 'none'),
    cell('expires', '', it.expires ? time(it.expires, { date: true }) : NONE),
    cell('', 'act', own ? [act('Edit', edit), act('Rotate', rotate), act('Revoke', revoke)] : h('small', null, it.source === 'file' ? 'in the file' : NONE)));
}

function budget(it) {
  if (!it) return [NONE];
  const soft = it.soft == null ? null : h('small', { class: 'reason' }, `soft limit $${it.soft}`);
  return [...amounts(it), soft];
}

/** A form for a new key, or for what a key allows. */
function edit(it, again) {
  const field = (name, label, value, more = {}) => {
    const input = h('input', { id: `key-${name}`, name, value: value ?? '', autocomplete: 'off', spellcheck: 'false', ...more });
    return h('div', { class: 'field' }, h('label', { for: input.id }, label), input);
  };
  const per = h('select', { id: 'key-per', name: 'per' }, ...PERIODS.map((name) => h('option', { selected: name === (it?.budget?.per ?? 'month') }, name)));
  const error = h('p', { class: 'error', role: 'alert' });
  const tags = Object.entries(it?.tags ?? {}).map(([name, value]) => `${name}=${value}`).join(', ');
  const form = h('form', { onsubmit: send },
    it ? null : field('id', 'Id', '', { placeholder: 'made up where empty' }),
    h('div', { class: 'pair' }, field('usd', 'Budget in USD', it?.budget?.usd, { inputmode: 'decimal', placeholder: 'none' }),
      field('soft', 'Soft limit in USD', it?.budget?.soft, { inputmode: 'decimal', placeholder: 'none' }),
      h('div', { class: 'field' }, h('label', { for: 'key-per' }, 'each'), per)),
    h('div', { class: 'pair' },
      field('rpm', 'Requests a minute', it?.limits.rpm, { inputmode: 'numeric', placeholder: 'no limit' }),
      field('tpm', 'Tokens a minute', it?.limits.tpm, { inputmode: 'numeric', placeholder: 'no limit' }),
      field('max_concurrent', 'At once', it?.limits.max_concurrent, { inputmode: 'numeric', placeholder: 'no limit' })),
    field('models', 'Models', it?.models?.join(', '), { placeholder: 'all; or: auto, qwen*' }),
    h('div', { class: 'pair' },
      field('expires', 'Expires, on your clock', local(it?.expires), { type: 'datetime-local', step: '1' }),
      field('tags', 'Tags', tags, { placeholder: 'team=a, env=prod' })),
    error, h('div', { class: 'line' }, h('button', { class: 'primary' }, it ? 'Save' : 'Create')));
  const box = dialog(it ? `Edit ${it.id}` : 'Create a key', 'form', form);
  form.querySelector('input').focus();

  async function send(event) {
    event.preventDefault();
    text(error, '');
    try {
      const body = written(new FormData(form), it !== null);
      const answer = it ? await api.patch(`/admin/v1/keys/${api.name(it.id)}`, body) : await api.post('/admin/v1/keys', body);
      box.close();
      if (it) say(`${it.id} is changed.`);
      else reveal(answer);
      again();
    } catch (failure) {
      text(error, failure.message);
    }
  }
}

/** What the form says; of a key that is changed, empty fields take away what was there. */
function written(form, changes) {
  const value = (name) => (form.get(name) ?? '').trim();
  const number = (name) => {
    if (value(name) === '') return undefined;
    if (!/^\d{1,15}$/.test(value(name))) throw new Error(`${name} is a whole number`);
    return Number(value(name));
  };
  const words = (name) => value(name).split(',').map((it) => it.trim()).filter(Boolean);
  const none = changes ? null : undefined;
  const limits = { rpm: number('rpm'), tpm: number('tpm'), max_concurrent: number('max_concurrent') };
  const tags = Object.fromEntries(words('tags').map((tag) => {
    const [name, ...rest] = tag.split('=');
    return [name, rest.join('=')];
  }));
  return {
    id: changes ? undefined : value('id') || undefined,
    budget: value('usd') ? { usd: value('usd'), soft: value('soft') || undefined, per: form.get('per') } : none,
    limits: Object.values(limits).some((it) => it !== undefined) ? limits : none,
    models: words('models').length ? words('models') : none,
    expires: value('expires') ? new Date(value('expires')).toISOString() : none,
    tags: Object.keys(tags).length ? tags : none,
  };
}

/** A moment as a field for dates wants it. */
function local(text) {
  if (!text) return '';
  const at = new Date(text);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

function reveal(answer) {
  const secret = h('output', { class: 'secret', tabindex: '0' }, answer.key);
  const copy = h('button', {
    type: 'button', class: 'primary',
    onclick: async () => {
      try {
        await navigator.clipboard.writeText(answer.key);
        text(copy, 'Copied');
      } catch {
        // without leave to write there, it is selected to be copied by hand
        getSelection().selectAllChildren(secret);
      }
    },
  }, 'Copy');
  dialog(`The secret of ${answer.id}`, 'form',
    h('p', null, 'It is shown this once. The gateway keeps only its SHA-256.'), secret, h('div', { class: 'line' }, copy));
  copy.focus();
}

function rotate(it, again) {
  const overlap = h('input', { id: 'overlap', value: '24h', autocomplete: 'off' });
  confirm(`Rotate ${it.id}`, 'Give it another secret', 'primary', async () => {
    reveal(await api.post(`/admin/v1/keys/${api.name(it.id)}/rotate`, { overlap: overlap.value.trim() }));
    again();
  }, h('div', { class: 'field' }, h('label', { for: 'overlap' }, 'The old secret is accepted for'), overlap));
}

function revoke(it, again) {
  confirm(`Revoke ${it.id}`, 'Revoke it', 'danger', async () => {
    await api.post(`/admin/v1/keys/${api.name(it.id)}/revoke`);
    say(`${it.id} is revoked.`);
    again();
  }, h('p', null, 'It is refused from now on, for good. What it spent stays in the ledger.'));
}

function confirm(title, word, kind, act, ...children) {
  const error = h('p', { class: 'error', role: 'alert' });
  const form = h('form', {
    onsubmit: async (event) => {
      event.preventDefault();
      try {
        await act();
        box.close();
      } catch (failure) {
        text(error, failure.message);
      }
    },
  }, ...children, error, h('div', { class: 'line' }, h('button', { class: kind }, word), h('button', { type: 'button', onclick: () => box.close() }, 'Cancel')));
  const box = dialog(title, 'form', form);
}
