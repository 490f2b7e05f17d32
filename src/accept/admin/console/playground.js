// The playground: a chat request of the operator, on the whole path of a request, and its answer
// as it comes. What it costs is real, and stands in the ledger.

import * as api from './api.js';
import { verdict } from './decisions.js';
import { h, replace, text } from './dom.js';
import { NONE, count, exactly, seconds } from './format.js';
import { holders } from './explain.js';

/** Headers that are shown, in this order. */
const HEADERS = ['x-tollgate-model', 'x-tollgate-backend', 'x-tollgate-decision', 'x-tollgate-attempts', 'x-tollgate-cost-usd',
  'x-tollgate-estimated-cost-usd', 'openai-processing-ms', 'x-request-id', 'x-ratelimit-remaining-requests', 'x-ratelimit-remaining-tokens'];

export function playground(root) {
  const model = h('select', { id: 'model' });
  const holder = h('select', { id: 'holder' }, h('option', { value: '' }, 'the console'));
  const system = h('textarea', { id: 'system', rows: 2, placeholder: 'none' });
  const user = h('textarea', { id: 'user', rows: 6, required: true }, 'Why is the sky blue? Answer in three sentences.');
  const temperature = h('input', { id: 'temperature', inputmode: 'decimal', placeholder: 'default', autocomplete: 'off' });
  const most = h('input', { id: 'most', inputmode: 'numeric', value: '400', placeholder: 'default', autocomplete: 'off' });
  const floor = h('input', { id: 'floor', inputmode: 'decimal', placeholder: 'none', autocomplete: 'off' });
  const stream = h('input', { id: 'stream', type: 'checkbox', checked: true });
  const send = h('button', { class: 'primary' }, 'Send');
  const stop = h('button', { type: 'button', 'aria-disabled': 'true', onclick: () => running?.abort() }, 'Stop');
  const out = answerBox();
  const field = (label, input) => h('div', { class: 'field' }, h('label', { for: input.id }, label), input);
  const form = h('form', { class: 'card', onsubmit: ask },
    h('div', { class: 'pair' }, field('Model', model), field('Booked under', holder)),
    field('System', system), field('User', user),
    h('div', { class: 'pair' }, field('Temperature', temperature), field('Most tokens', most), field('Quality floor', floor)),
    h('div', { class: 'line' }, send, stop, h('label', { class: 'check', for: 'stream' }, stream, 'stream'), h('small', { class: 'note' }, 'Ctrl+Enter sends')));
  form.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  root.append(h('div', { class: 'halves' }, form, out.box));
  let running = null;

  // not `disabled`: a button that is loses the focus
  function turn(on) {
    send.setAttribute('aria-disabled', on);
    stop.setAttribute('aria-disabled', !on);
  }

  async function ask(event) {
    event.preventDefault();
    if (running) return;
    running = new AbortController();
    turn(true);
    out.begin();
    try {
      const query = holder.value ? `?key=${encodeURIComponent(holder.value)}` : '';
      const narrow = floor.value.trim() ? { 'x-tollgate-min-quality': floor.value.trim() } : {};
      const headers = { 'x-tollgate-tags': 'via=console', ...narrow };
      const response = await api.open(`/admin/v1/playground${query}`, body(), headers, running.signal);
      out.head(response);
      if (!response.ok) throw await api.failure(response);
      if (stream.checked) await read(response.body, out);
      else out.whole(await response.json());
      await out.end('done');
    } catch (failure) {
      await out.end(failure.name === 'AbortError' ? 'stopped' : 'failed', failure.name === 'AbortError' ? '' : failure.message);
    }
    running = null;
    turn(false);
  }

  function body() {
    const messages = [{ role: 'user', content: user.value }];
    if (system.value.trim()) messages.unshift({ role: 'system', content: system.value });
    const number = (input) => {
      const written = input.value.trim();
      if (written !== '' && !Number.isFinite(Number(written))) throw new Error(`${input.labels[0].textContent} is a number`);
      return written === '' ? undefined : Number(written);
    };
    const whole = { model: model.value, messages, temperature: number(temperature), max_tokens: number(most) };
    return stream.checked ? { ...whole, stream: true, stream_options: { include_usage: true } } : whole;
  }

  return {
    refresh: async (signal) => {
      const [{ data }] = await Promise.all([api.get('/admin/v1/models', signal), holders(holder, signal)]);
      choices(model, data);
    },
    leave: () => running?.abort(),
  };
}

function choices(select, data) {
  const group = (label, names) => (names.length ? h('optgroup', { label }, ...names.map((name) => h('option', null, name))) : null);
  const of = (kind) => data.filter((it) => it.kind === kind);
  const pinned = new Set(of('model').flatMap((it) => it.backends.map((backend) => backend.id)));
  const groups = [group('Routes', of('route').map((it) => it.id)), group('Models', of('model').map((it) => it.id)),
    group('Aliases', of('alias').map((it) => it.id)), group('One backend', [...pinned])];
  replace(select, ...groups);
}

/** Where the answer appears. */
function answerBox() {
  const state = h('p', { class: 'note', role: 'status' }, 'Nothing was sent yet.');
  const error = h('p', { class: 'error', role: 'alert' });
  const thought = h('pre', { class: 'thought' });
  const thinking = h('details', { hidden: true }, h('summary', null, 'Reasoning'), thought);
  const written = h('pre', { class: 'answer', tabindex: '0', 'aria-label': 'The answer' });
  const facts = h('dl', { class: 'facts' });
  const why = h('div');
  const box = h('section', { class: 'card answering' }, h('div', { class: 'line' }, h('h2', null, 'Answer'), state), error, thinking, written, facts, why);
  let [began, first, request] = [0, null, null];
  const fact = (name, value) => facts.append(h('dt', null, name), h('dd', null, value));
  const append = (element, more) => {
    if (!more) return;
    first ??= performance.now();
    element.append(more);
  };
  const usage = (it) => {
    const reasoning = it.completion_tokens_details?.reasoning_tokens;
    fact('tokens', `${count(it.prompt_tokens)} in, ${count(it.completion_tokens)} out${reasoning ? ` (${count(reasoning)} of them reasoning)` : ''}`);
    if ('cost_usd' in it) fact('cost', exactly(it.cost_usd));
  };
  return {
    box,
    begin: () => {
      [began, first, request] = [performance.now(), null, null];
      for (const element of [thought, written, facts, why]) replace(element);
      thinking.hidden = true;
      text(error, '');
      text(state, 'Waiting…');
      box.setAttribute('aria-busy', 'true');
    },
    head: (response) => {
      request = response.headers.get('x-request-id');
      text(state, `Status ${response.status}`);
      for (const name of HEADERS) {
        const value = response.headers.get(name);
        if (value !== null) fact(name, value);
      }
    },
    event: (it) => {
      if (it.error) throw new Error(it.error.message);
      for (const { delta = {} } of it.choices ?? []) {
        const reasoning = delta.reasoning_content ?? delta.reasoning;
        if (reasoning) thinking.hidden = false;
        append(thought, reasoning);
        append(written, delta.content ?? delta.refusal);
        if (delta.tool_calls) append(written, `${JSON.stringify(delta.tool_calls)}\n`);
      }
      if (it.usage) usage(it.usage);
    },
    whole: (it) => {
      const message = it.choices?.[0]?.message ?? {};
      thinking.hidden = !message.reasoning_content;
      append(thought, message.reasoning_content);
      append(written, message.content ?? (message.tool_calls ? JSON.stringify(message.tool_calls, null, 2) : NONE));
      if (it.usage) usage(it.usage);
    },
    end: async (how, message = '') => {
      box.removeAttribute('aria-busy');
      const took = (performance.now() - began) / 1000;
      text(state, `${how[0].toUpperCase()}${how.slice(1)} after ${seconds(took)}${first ? `; first text after ${seconds((first - began) / 1000)}` : ''}`);
      text(error, message);
      replace(why, ...(await decision(request)));
    },
  };
}

/** Why it went there, once the request has ended. */
async function decision(request) {
  if (!request) return [];
  try {
    const { decisions } = await api.get('/admin/v1/decisions?limit=32');
    const it = decisions.find((one) => one.request_id === request);
    return it ? verdict(it) : [];
  } catch {
    return [];
  }
}

/** Reads server-sent events; a comment or an empty event is none. */
async function read(body, out) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    for (const line of lines) {
      const data = line.startsWith('data:') ? line.slice(5).trim() : '';
      if (data && data !== '[DONE]') out.event(JSON.parse(data));
    }
  }
}
