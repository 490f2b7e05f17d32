// The console in a real browser, in front of a gateway at work.
//
//   node tests/console/console.mjs PROGRAM BROWSER FOLDER
//
// FOLDER has the library (tests/console/setup.sh) and gets the screenshots.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { faint, launch, open, overflow, tabTo, unnamed } from './page.mjs';
import { ADMIN_KEY, Stack, busy } from './stack.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const SECTIONS = ['overview', 'decisions', 'backends', 'models', 'budgets', 'keys', 'playground', 'explain', 'config'];
const LOOKS = [
  ['light', { colorScheme: 'light' }],
  ['dark', { colorScheme: 'dark' }],
  ['light-narrow', { colorScheme: 'light', viewport: { width: 360, height: 740 } }],
  ['dark-narrow', { colorScheme: 'dark', viewport: { width: 360, height: 740 } }],
];
/** What each section shows once it has its data. */
const READY = {
  overview: '.states li', decisions: 'main tbody tr', backends: 'main tbody tr', models: 'main tbody tr', budgets: 'main tbody tr', keys: 'main tbody tr',
  playground: '#model option', explain: '#holder option:nth-child(2)', config: 'main details',
};

const [program, browserPath, folder] = process.argv.slice(2).map((path) => resolve(path));

const type = async (page, words) => page.keyboard.type(words);
const go = async (page, section) => {
  await tabTo(page, `nav a[href="#/${section}"]`, { back: true });
  await page.keyboard.press('Enter');
  // first the focus: until the section has changed, what is looked for may stand in the one before
  await until(() => page.evaluate(() => document.activeElement.tagName === 'H1'), 'a new section has the focus');
  await page.waitForSelector(READY[section], { state: 'attached' });
};
const quiet = (seen, but = []) => {
  assert.deepEqual(seen.foreign, [], 'nothing is asked for elsewhere');
  const left = seen.complaints.filter((it) => !but.some((known) => it.includes(known)));
  assert.deepEqual(left, [], 'the browser complains of nothing');
};

const tests = {
  'a wrong key is refused and the right one lets in': async ({ page, stack }) => {
    assert.equal(await page.evaluate(() => document.activeElement.id), 'admin-key');
    await type(page, 'not-the-admin-key');
    await page.keyboard.press('Enter');
    await page.getByText('This is not the admin key.').waitFor();
    assert.ok(await page.locator('#shell').isHidden());
    await type(page, ADMIN_KEY);
    await page.keyboard.press('Enter');
    await page.waitForSelector(READY.overview);
    assert.ok(!page.url().includes(ADMIN_KEY));
    const kept = await page.evaluate(() => [JSON.stringify(localStorage), document.cookie, JSON.stringify(sessionStorage)]);
    assert.ok(!kept[0].includes(ADMIN_KEY) && kept[1] === '' && kept[2].includes(ADMIN_KEY), 'the key is kept for the tab alone');
    assert.equal(stack.operator, new URL(page.url()).origin);
  },

  'the first Tab offers to skip the navigation': async ({ page }) => {
    await page.reload();
    await page.waitForSelector(READY.overview);
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
  },

  'the overview shows what the ledger has, to the last digit': async ({ page, stack }) => {
    await busy(stack, 1);
    const tile = page.locator('.tile', { hasText: 'Spent in the last hour' }).locator('data');
    const shown = () => tile.getAttribute('value');
    const ledger = async () => (await stack.operate('/admin/v1/spend?since=1h')).rows[0].cost_usd;
    const wanted = await settled(ledger);
    await until(async () => (await shown()) === wanted, `the tile says ${await shown()}, the ledger ${wanted}`);
    const saved = page.locator('.tile', { hasText: 'Saved today' }).locator('data');
    const { saved_usd: less } = (await stack.operate('/admin/v1/spend?since=1h')).rows[0];
    assert.equal(await saved.getAttribute('value'), less.replace('-', '−'));
    await page.locator('.latency tbody tr').first().waitFor();
  },

  'every section is reached by keyboard alone': async ({ page }) => {
    for (const section of SECTIONS) {
      await go(page, section);
      assert.equal(await page.locator('nav a[aria-current=page]').getAttribute('href'), `#/${section}`);
      assert.deepEqual(await unnamed(page), [], section);
      assert.equal(await page.locator('main > .error').textContent(), '', section);
    }
  },

  'a decision says why, and Escape leads back to it': async ({ page }) => {
    await go(page, 'decisions');
    await tabTo(page, '#filter');
    await type(page, 'auto ok');
    await until(async () => (await page.locator('main tbody tr').count()) > 0, 'some decisions fit');
    await tabTo(page, '#live');
    await page.keyboard.press('Space');
    await tabTo(page, 'tbody a');
    const link = await page.evaluate(() => document.activeElement.getAttribute('href'));
    await page.keyboard.press('Enter');
    await page.waitForSelector('dialog.drawer[open]');
    assert.ok(await page.locator('dialog tr.first').count() === 1, 'who served is marked');
    assert.match(await page.locator('dialog').textContent(), /Could have served.*×\d/s);
    await page.screenshot({ path: join(folder, 'why.png') });
    await page.keyboard.press('Escape');
    await page.waitForSelector('dialog', { state: 'detached' });
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute('href')), link);
  },

  'a backend is drained and resumed': async ({ page, stack }) => {
    await go(page, 'backends');
    const standing = async () => (await stack.operate('/admin/v1/backends')).backends[0].drained;
    await tabTo(page, 'tbody button');
    await page.keyboard.press('Enter');
    await until(standing, 'the backend is drained');
    await page.getByRole('button', { name: /^Resume / }).waitFor();
    await page.screenshot({ path: join(folder, 'drained.png') });
    // the button that took its place has the focus
    await until(() => page.evaluate(() => document.activeElement.textContent === 'Resume'), 'the focus stays');
    await page.keyboard.press('Enter');
    await until(async () => !(await standing()), 'the backend is back');
  },

  'a key is created, its secret is shown once, and it is revoked': async ({ page, stack }) => {
    await go(page, 'keys');
    await tabTo(page, 'main button.primary');
    await page.keyboard.press('Enter');
    await page.waitForSelector('dialog[open]');
    await type(page, 'made/in the browser');
    await page.keyboard.press('Enter');
    await page.locator('dialog .error').filter({ hasText: /./ }).waitFor();
    await page.fill('#key-id', '<b>made/here</b>');
    await tabTo(page, '#key-usd');
    await type(page, '12.50');
    await page.fill('#key-expires', '2099-12-31T23:59:59');
    await page.screenshot({ path: join(folder, 'create.png') });
    await page.keyboard.press('Enter');
    const secret = await page.locator('output.secret').textContent();
    await page.screenshot({ path: join(folder, 'secret.png') });
    assert.equal(await page.locator('b', { hasText: 'made' }).count(), 0, 'a name is text, not markup');
    const call = () => fetch(`${stack.clients}/v1/models`, { headers: { authorization: `Bearer ${secret}` } });
    assert.equal((await call()).status, 200);
    await page.keyboard.press('Escape');
    await page.waitForSelector('dialog', { state: 'detached' });
    const row = page.locator('tbody tr', { hasText: '<b>made/here</b>' });
    await row.getByText('of $12.5 a month').waitFor();
    assert.match(await row.locator('time').getAttribute('datetime'), /^(2099-12-31|2100-01-01)T/);
    assert.ok(!(await page.content()).includes(secret), 'the secret is gone');
    await tabTo(page, 'button[aria-label="Revoke <b>made/here</b>"]');
    await page.keyboard.press('Enter');
    await page.waitForSelector('dialog[open] button.danger');
    await tabTo(page, 'button.danger');
    await page.keyboard.press('Enter');
    await row.waitFor({ state: 'detached' });
    assert.equal((await call()).status, 401);
  },

  'the playground streams, shows the exact cost, and can be stopped': async ({ page, stack }) => {
    await go(page, 'playground');
    await tabTo(page, '#model');
    await type(page, 'gpt-5.4');
    await page.selectOption('#model', 'gpt-5.4');
    await tabTo(page, '#user');
    await page.keyboard.press('Control+Enter');
    await page.locator('.answer').filter({ hasText: /./ }).waitFor();
    assert.equal(await page.locator('.answering').getAttribute('aria-busy'), 'true', 'it is shown before it ends');
    const early = (await page.locator('.answer').textContent()).length;
    await page.getByText(/^Done after/).waitFor();
    assert.ok((await page.locator('.answer').textContent()).length > early);
    const fact = (name) => page.locator(`.answering dt:text-is("${name}") + dd`).textContent();
    assert.match(await fact('x-tollgate-backend'), /^openai\/gpt-5\.4/);
    const cost = (await fact('cost')).slice(1);
    const [decision] = (await stack.operate('/admin/v1/decisions')).decisions.filter((it) => it.key === 'the console');
    assert.equal(cost, decision.cost_usd);
    await page.screenshot({ path: join(folder, 'played.png') });
    await page.locator('#user').focus();
    await page.keyboard.press('Control+Enter');
    await page.locator('.answer').filter({ hasText: /./ }).waitFor();
    await tabTo(page, 'main button[type=button][aria-disabled=false]');
    await page.keyboard.press('Enter');
    await page.getByText(/^Stopped after/).waitFor();
  },

  'a request is explained, and a broken one is refused': async ({ page }) => {
    await go(page, 'explain');
    await tabTo(page, 'main button.primary');
    await page.keyboard.press('Enter');
    await page.getByText(/^cheapest of \d capable/).waitFor();
    await page.screenshot({ path: join(folder, 'explained.png'), fullPage: true });
    await page.fill('#request', '{');
    await tabTo(page, 'main button.primary');
    await page.keyboard.press('Enter');
    await page.locator('form .error').filter({ hasText: /JSON/i }).waitFor();
  },

  'a file with a mistake is told, with its line': async ({ page, stack }) => {
    await go(page, 'config');
    stack.rewrite('min_quality: 0.84', 'min_quality: 84');
    await tabTo(page, 'main button');
    await page.keyboard.press('Enter');
    await page.getByText('The file has mistakes.').waitFor();
    assert.match(await page.locator('main tbody').textContent(), /tollgate\.yaml:\d+:\d+/);
    await page.screenshot({ path: join(folder, 'mistakes.png') });
    stack.rewrite('min_quality: 84', 'min_quality: 0.85');
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Read it again');
    await page.keyboard.press('Enter');
    await page.getByText('routes.careful', { exact: true }).waitFor();
  },
};

/** Every section in one of the looks: nothing too wide, nothing too faint, a picture of it. */
async function look(browser, stack, [name, looks]) {
  const { page, seen, close } = await open(browser, stack.operator, looks);
  assert.deepEqual(await faint(page), [], `login, ${name}`);
  await page.screenshot({ path: join(folder, `login-${name}.png`) });
  await type(page, ADMIN_KEY);
  await page.keyboard.press('Enter');
  for (const section of SECTIONS) {
    await page.goto(`${stack.operator}/#/${section}`);
    await page.waitForSelector(READY[section], { state: 'attached' });
    await page.mouse.move(0, 0);
    if (section === 'overview') await page.waitForSelector('.spark .line[d^=M]');
    assert.deepEqual(await faint(page), [], `${section}, ${name}`);
    assert.ok((await overflow(page)) <= 0, `${section} is wider than the window, ${name}`);
    await page.screenshot({ path: join(folder, `${section}-${name}.png`), fullPage: looks.viewport === undefined && section !== 'decisions' });
  }
  quiet(seen);
  await close();
}

/** A gateway that is gone is told; one that is back is found again. */
async function gone(browser, stack) {
  const { page, seen, close } = await open(browser, stack.operator, { colorScheme: 'light' });
  await type(page, ADMIN_KEY);
  await page.keyboard.press('Enter');
  await page.waitForSelector(READY.overview);
  await stack.end('gateway');
  await page.getByText('The gateway does not answer.').waitFor();
  await page.screenshot({ path: join(folder, 'gone.png') });
  quiet(seen, ['ERR_CONNECTION', 'ERR_EMPTY_RESPONSE', 'ERR_INCOMPLETE']);
  await close();
}

/** Without a ledger the metrics tell what was spent, and nothing is asked that is not there. */
async function withoutLedger(browser) {
  const stack = await Stack.start(program, join(HERE, 'gateway.yaml'), [['"sqlite:ledger.db"', 'none']]);
  try {
    const { page, seen, close } = await open(browser, stack.operator, { colorScheme: 'light' });
    await type(page, ADMIN_KEY);
    await page.keyboard.press('Enter');
    await page.getByText('No request was decided on since the start.').waitFor();
    await page.screenshot({ path: join(folder, 'new.png') });
    await busy(stack, 1);
    await page.locator('.spend th', { hasText: 'pool/' }).waitFor();
    await page.getByRole('heading', { name: 'Spend since the start' }).waitFor();
    quiet(seen);
    await close();
  } finally {
    await stack.stop();
  }
}

/** Wrong keys become too many, and that is said. */
async function guessing(browser, stack) {
  const { page, seen, close } = await open(browser, stack.operator, { colorScheme: 'light' });
  for (let guess = 0; guess < 12; guess += 1) {
    await page.fill('#admin-key', `guess-${guess}`);
    await page.keyboard.press('Enter');
    await page.waitForSelector('#login-form button:enabled');
    if ((await page.locator('#login-error').textContent()).startsWith('too many wrong admin keys')) break;
  }
  assert.match(await page.locator('#login-error').textContent(), /^too many wrong admin keys/);
  quiet(seen, ['status of 401', 'status of 429']);
  await close();
}

async function until(holds, what) {
  for (const end = Date.now() + 10_000; Date.now() < end;) {
    if (await holds()) return;
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  throw new Error(`not in 10 s: ${what}`);
}

/** A value once it has stayed the same for a while. */
async function settled(read) {
  let before = await read();
  for (;;) {
    await new Promise((resolve) => { setTimeout(resolve, 300); });
    const now = await read();
    if (now === before) return now;
    before = now;
  }
}

let failed = 0;
async function step(name, test) {
  const began = Date.now();
  try {
    await test();
    console.log(`ok      ${name} (${Date.now() - began} ms)`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n${error.stack}`);
  }
}

mkdirSync(folder, { recursive: true });
const stack = await Stack.start(program, join(HERE, 'gateway.yaml'));
const browser = await launch(browserPath, join(folder, 'node'));
try {
  await busy(stack, 4);
  const { page, seen, close } = await open(browser, stack.operator, { colorScheme: 'light' });
  for (const [name, test] of Object.entries(tests)) await step(name, () => test({ page, stack }));
  await step('nothing is asked for elsewhere, and the browser complains of nothing', async () => {
    quiet(seen, ['status of 401', 'status of 400', 'status of 422']);
  });
  await close();
  let load = busy(stack, 1);
  const timer = setInterval(() => { load = load.then(() => busy(stack, 1)).catch(() => {}); }, 700);
  const long = await open(browser, stack.operator, { colorScheme: 'light' });
  await type(long.page, ADMIN_KEY);
  await long.page.keyboard.press('Enter');
  for (const looks of LOOKS) await step(`all sections, ${looks[0]}`, () => look(browser, stack, looks));
  await step('a tab that was left open draws its lines', async () => {
    await long.page.bringToFront();
    const lines = await long.page.locator('.spark .line').evaluateAll((paths) => paths.map((path) => path.getAttribute('d').split('L').length));
    assert.ok(Math.min(...lines) > 10, `${lines} points`);
    await long.page.screenshot({ path: join(folder, 'overview.png'), fullPage: true });
    quiet(long.seen);
    await long.close();
  });
  clearInterval(timer);
  await load;
  await step('without a ledger the metrics tell what was spent', () => withoutLedger(browser));
  await step('too many wrong keys are told', () => guessing(browser, stack));
  await step('a gateway that is gone is told', () => gone(browser, stack));
} finally {
  await browser.close();
  if (failed) console.log(stack.log('gateway').split('\n').slice(-20).join('\n'));
  await stack.stop();
}
console.log(failed ? `${failed} failed` : `all passed; the screenshots stand in ${folder}`);
process.exit(failed ? 1 : 0);
