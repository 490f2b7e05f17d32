// The frame: who may look, which section is shown, light or dark.

import * as api from './api.js';
import { h, replace, text } from './dom.js';
import * as live from './live.js';
import { backends } from './backends.js';
import { budgets } from './budgets.js';
import { config } from './config.js';
import { decisions } from './decisions.js';
import { explain } from './explain.js';
import { keys } from './keys.js';
import { models } from './models.js';
import { overview } from './overview.js';
import { playground } from './playground.js';

/** Each one draws itself and says how to refresh it: `{ every, refresh(signal), leave() }`. */
const SECTIONS = { overview, decisions, backends, models, budgets, keys, playground, explain, config };
const THEMES = ['auto', 'light', 'dark'];

const at = (id) => document.getElementById(id);
const main = at('main');

let shown = null;

function show(name, rest, move) {
  leave();
  const title = h('h1', { tabindex: '-1' }, at('side').querySelector(`nav a[href="#/${name}"]`).textContent);
  const error = h('p', { class: 'error', role: 'alert' });
  const body = h('div', { class: `section ${name}` });
  replace(main, title, error, body);
  document.title = `${title.textContent} · tollgate`;
  for (const link of at('side').querySelectorAll('nav a')) {
    const here = link.hash === `#/${name}`;
    if (here) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
    if (here) link.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }
  const ended = new AbortController();
  const own = { name, ended, timer: null, section: null };
  shown = own;
  const section = SECTIONS[name](body, { rest, signal: ended.signal, again: () => refresh(own, error) });
  own.section = section;
  // a page that was just loaded begins at its top, with the link that skips the navigation
  if (move) title.focus({ preventScroll: true });
  scrollTo(0, 0);
  refresh(own, error);
}

async function refresh(own, error) {
  clearTimeout(own.timer);
  const { section, ended } = own;
  if (!document.hidden || !own.seen) {
    own.seen = true;
    try {
      await section.refresh?.(ended.signal);
      if (!ended.signal.aborted) text(error, '');
    } catch (failure) {
      if (ended.signal.aborted) return;
      // who does not answer at all is told at the top of the page
      text(error, failure.status === 0 ? '' : failure.message);
    }
  }
  if (section.every && !ended.signal.aborted) {
    own.timer = setTimeout(() => refresh(own, error), section.every);
  }
}

function leave() {
  if (!shown) return;
  clearTimeout(shown.timer);
  shown.ended.abort();
  shown.section?.leave?.();
  shown = null;
}

function route(move = true) {
  if (!api.hasKey()) return;
  const [, name, ...rest] = location.hash.split('/');
  const known = Object.hasOwn(SECTIONS, name ?? '') ? name : 'overview';
  if (shown?.name === known && shown.section?.moved) {
    shown.section.moved(rest.map(decodeURIComponent).join('/'));
  } else {
    show(known, rest.map(decodeURIComponent).join('/'), move);
  }
}

function enter(move) {
  at('login').hidden = true;
  at('shell').hidden = false;
  live.start();
  route(move);
}

function signOut(why = '') {
  leave();
  live.stop();
  api.setKey(null);
  for (const open of document.querySelectorAll('dialog')) open.close();
  replace(main);
  at('shell').hidden = true;
  at('login').hidden = false;
  document.title = 'tollgate';
  text(at('login-error'), why);
  at('admin-key').value = '';
  at('admin-key').focus();
}

at('login-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = event.target.querySelector('button');
  const key = at('admin-key').value.trim();
  button.disabled = true;
  text(at('login-error'), '');
  try {
    // a header holds no other characters
    if (!/^[\x21-\x7e]+$/.test(key)) throw new api.Failure(401, 'A key holds printable ASCII characters only.');
    await api.tryKey(key);
    api.setKey(key);
    at('admin-key').value = '';
    enter(true);
  } catch (error) {
    text(at('login-error'), error.status === 401 ? 'This is not the admin key.' : error.message);
    at('admin-key').focus();
    at('admin-key').select();
  } finally {
    button.disabled = false;
  }
});

function theme(name) {
  const known = THEMES.includes(name) ? name : 'auto';
  document.documentElement.dataset.theme = known;
  localStorage.setItem('tollgate-theme', known);
  text(at('theme'), `Theme: ${known}`);
}

at('theme').addEventListener('click', () => {
  const now = THEMES.indexOf(document.documentElement.dataset.theme);
  theme(THEMES[(now + 1) % THEMES.length]);
});
at('leave').addEventListener('click', () => signOut());
document.querySelector('.skip').addEventListener('click', (event) => {
  // the fragment is the section's name
  event.preventDefault();
  (at('shell').hidden ? at('admin-key') : main).focus();
});
api.onRefused(() => signOut('The admin key is not accepted any more.'));
addEventListener('hashchange', () => route());

live.watch(() => {
  const failure = live.failure();
  text(at('gone'), failure ? `${failure.message} What is shown may be old; trying again.` : '');
  const build = live.latest()?.families?.get('tollgate_build_info')?.[0]?.labels;
  text(at('version'), build ? `tollgate ${build.version}` : '');
});

theme(localStorage.getItem('tollgate-theme'));
if (api.hasKey()) enter(false);
else signOut();
