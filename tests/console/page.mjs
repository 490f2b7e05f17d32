// A page of a real browser, watched: what it asks for, what it complains about, how it looks.

import { createRequire } from 'node:module';
import { join } from 'node:path';

const ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

export async function launch(browser, modules) {
  const { chromium } = createRequire(join(modules, 'package.json'))('playwright-core');
  return chromium.launch({ executablePath: browser, args: ARGUMENTS });
}

/** Opens the console; `looks` is a viewport and a colour scheme. */
export async function open(browser, origin, looks) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...looks });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  const seen = { foreign: [], complaints: [] };
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.origin !== origin) seen.foreign.push(request.url());
    if (/[?&](key|token)=.*admin/i.test(url.search)) seen.complaints.push(`a secret in an address: ${url}`);
  });
  page.on('pageerror', (error) => seen.complaints.push(error.stack));
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) seen.complaints.push(`${message.text()} ${message.location().url}`);
  });
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  await page.goto(`${origin}/`);
  return { page, seen, close: () => context.close() };
}

/** Goes on with Tab until what has the focus fits; every stop on the way must be visible. */
export async function tabTo(page, selector, { back = false, most = 120 } = {}) {
  for (let steps = 0; steps < most; steps += 1) {
    await page.keyboard.press(back ? 'Shift+Tab' : 'Tab');
    const stop = await page.evaluate((wanted) => {
      const element = document.activeElement;
      const { outlineStyle, outlineWidth } = getComputedStyle(element);
      const box = element.getBoundingClientRect();
      return {
        there: element.matches(wanted),
        is: element.outerHTML.slice(0, 80),
        // a page that has the focus as a whole is between two rounds
        marked: element === document.body || (outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2 && box.width > 0),
      };
    }, selector);
    if (!stop.marked) throw new Error(`nothing shows that this has the focus: ${stop.is}`);
    if (stop.there) return;
  }
  throw new Error(`${selector} can't be reached with ${back ? 'Shift+Tab' : 'Tab'}`);
}

/** Texts that are too faint for what they stand on: WCAG 2 AA, 4.5 to 1, large ones 3 to 1. */
export function faint(page) {
  return page.evaluate(() => {
    const channels = (text) => (/rgba?\(([^)]+)\)/.exec(text)?.[1] ?? '').split(/[\s,/]+/).map(Number);
    const light = ([r, g, b]) => {
      const [x, y, z] = [r, g, b].map((it) => (it / 255 <= 0.03928 ? it / 255 / 12.92 : ((it / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const behind = (element) => {
      for (let it = element; it; it = it.parentElement) {
        const colour = channels(getComputedStyle(it).backgroundColor);
        if (colour.length >= 3 && colour[3] !== 0) return colour;
      }
      return [255, 255, 255];
    };
    const found = new Set();
    const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (words.nextNode()) {
      const element = words.currentNode.parentElement;
      const style = getComputedStyle(element);
      if (!words.currentNode.data.trim() || !element.checkVisibility({ visibilityProperty: true }) || element.closest(':disabled, [aria-disabled=true], .unseen, noscript, option')) continue;
      const [a, b] = [light(channels(style.color)), light(behind(element))].sort((x, y) => y - x);
      const ratio = (a + 0.05) / (b + 0.05);
      const size = parseFloat(style.fontSize);
      const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      if (ratio < (large ? 3 : 4.5)) found.add(`${ratio.toFixed(2)}: ${words.currentNode.data.trim().slice(0, 40)} (${style.color})`);
    }
    return [...found];
  });
}

/** Controls without a name for those who do not see them, ids that stand twice, and the like. */
export function unnamed(page) {
  return page.evaluate(() => {
    const wrong = [];
    for (const element of document.querySelectorAll('a, button, input, select, textarea, summary, svg[role=img]')) {
      if (!element.checkVisibility()) continue;
      const name = element.getAttribute('aria-label') || element.labels?.[0]?.textContent || element.textContent;
      if (!name?.trim()) wrong.push(`without a name: ${element.outerHTML.slice(0, 80)}`);
    }
    const ids = [...document.querySelectorAll('[id]')].map((it) => it.id);
    for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) wrong.push(`stands twice: #${id}`);
    if (document.querySelectorAll('main h1').length !== 1) wrong.push('not exactly one heading of the first level');
    return wrong;
  });
}

/** How far the page is wider than the window. */
export function overflow(page) {
  return page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
}
