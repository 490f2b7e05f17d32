// Builds elements. Data becomes text nodes and attributes, never markup.

const SVG = 'http://www.w3.org/2000/svg';

/** An element with attributes, `on…` listeners and children; `null` and `false` are left out. */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same of SVG. */
export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Puts other children in place of those that are there. */
export function replace(element, ...children) {
  element.replaceChildren(...nodes(children));
}

/** Sets a text, and touches nothing if it stands there already. */
export function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

/**
 * Brings children in line with items, by key. What has not changed stays the same element, so that
 * focus, selection and scrolling survive a refresh; what has changed gets its focus back.
 */
export function list(parent, items, key, render) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const after = items.map((item) => {
    const name = String(key(item));
    const state = JSON.stringify(item);
    const known = before.get(name);
    if (known?.dataset.state === state) return known;
    const made = render(item);
    made.dataset.key = name;
    made.dataset.state = state;
    return made;
  });
  const held = focused(parent);
  if (after.length === parent.children.length && after.every((it, at) => it === parent.children[at])) return;
  parent.replaceChildren(...after);
  if (held) {
    const row = after.find((it) => it.dataset.key === held.key);
    row?.querySelectorAll('a, button, input, select')[held.at]?.focus({ preventScroll: true });
  }
}

/** A table with a caption for those who do not see its heading. */
export function table(caption, columns, body, className = '') {
  const heads = columns.map(([name, kind = '']) => h('th', { scope: 'col', class: kind }, name));
  return h('div', { class: 'scroll' },
    h('table', { class: className },
      h('caption', { class: 'unseen' }, caption),
      h('thead', null, h('tr', null, ...heads)),
      body));
}

/** A cell; on narrow screens `label` stands before it. */
export function cell(label, kind, ...children) {
  return h('td', { class: kind, 'data-label': label }, ...children);
}

/** A state in colour and in words. */
export function badge(kind, ...words) {
  return h('span', { class: `badge ${kind}` }, ...words);
}

export function empty(...words) {
  return h('p', { class: 'empty' }, ...words);
}

/** A dialog that is gone once it is closed; Escape closes it, as the browser does for dialogs. */
export function dialog(title, className, ...children) {
  const close = h('button', { type: 'button', class: 'plain', 'aria-label': 'Close', onclick: () => box.close() }, '✕');
  const box = h('dialog', { class: className, 'aria-label': title },
    h('header', null, h('h2', null, title), close), h('div', { class: 'inner' }, ...children));
  box.addEventListener('close', () => box.remove());
  box.addEventListener('click', (event) => {
    if (event.target === box) box.close();
  });
  document.body.append(box);
  box.showModal();
  return box;
}

/** Says something once, to eyes and screen readers. */
export function say(words, kind = 'ok') {
  const line = document.getElementById('said');
  line.className = kind;
  line.textContent = words;
  clearTimeout(say.later);
  say.later = setTimeout(() => { line.textContent = ''; }, 6000);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value == null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...nodes(children));
  return element;
}

function nodes(children) {
  return children.flat().filter((child) => child != null && child !== false);
}

function focused(parent) {
  const row = [...parent.children].find((child) => child.contains(document.activeElement));
  if (!row) return null;
  const at = [...row.querySelectorAll('a, button, input, select')].indexOf(document.activeElement);
  return at < 0 ? null : { key: row.dataset.key, at };
}
