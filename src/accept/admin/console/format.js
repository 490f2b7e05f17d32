// Numbers and times as people read them.

import { h } from './dom.js';
import * as money from './money.js';

const whole = new Intl.NumberFormat('en-US');
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium', hour12: false });

export const NONE = '–';

export function count(number) {
  return number == null ? NONE : whole.format(number);
}

/** `12.4`, `0.31`, `1,240`: three digits that say something. */
export function rate(number) {
  if (number == null) return NONE;
  if (number >= 100) return whole.format(Math.round(number));
  return number >= 10 ? number.toFixed(1) : number.toFixed(2);
}

/** `1.2M`, `48k`: for where there is no room. */
export function compact(number) {
  if (number == null) return NONE;
  for (const [size, unit] of [[1e9, 'G'], [1e6, 'M'], [1e3, 'k']]) {
    if (number >= size) return `${trim(number / size)}${unit}`;
  }
  return String(number);
}

/** A time in seconds, in the unit that suits it. */
export function seconds(value) {
  if (value == null) return NONE;
  if (value < 0.001) return `${Math.round(value * 1e6)} µs`;
  if (value < 1) return `${value < 0.01 ? (value * 1e3).toFixed(1) : Math.round(value * 1e3)} ms`;
  return value < 60 ? `${value.toFixed(2)} s` : `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
}

export function percent(part) {
  if (part == null) return NONE;
  return `${(part * 100).toFixed(part !== 0 && Math.abs(part) < 0.1 ? 2 : 1)} %`;
}

/** A moment on the reader's clock, with UTC where the pointer rests. */
export function time(text, { date = false } = {}) {
  if (!text) return NONE;
  const at = new Date(text);
  const today = at.toDateString() === new Date().toDateString();
  const shown = (date || !today ? full : clock).format(at);
  return h('time', { datetime: text, title: `${at.toISOString()} (UTC)` }, shown);
}

/** An amount of pico-dollars, short, with every digit where the pointer rests. */
export function usd(pico) {
  if (pico == null) return NONE;
  return h('data', { value: money.exact(pico), title: `$${money.exact(pico)}` }, money.short(pico));
}

/** An amount as the gateway wrote it: every digit. */
export function exactly(text) {
  return text == null ? NONE : `$${text}`;
}

function trim(number) {
  return number >= 100 ? Math.round(number) : number.toFixed(1).replace(/\.0$/, '');
}
