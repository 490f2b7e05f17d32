// The parts of the console that only compute, without a browser: node --test tests/console/units.test.mjs

import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as money from '../../src/accept/admin/console/money.js';
import { buckets, parse, quantile, since, total } from '../../src/accept/admin/console/prometheus.js';

test('amounts are read to the pico-dollar and written with every digit', () => {
  for (const text of ['0', '0.000024277778', '12.5', '9007199254740993.000000000001']) {
    assert.equal(money.exact(money.parse(text)), text);
  }
  assert.equal(money.exact(money.parse('2.5e-7')), '0.00000025');
  assert.equal(money.exact(money.parse('1e3')), '1000');
  assert.equal(money.parse('0.0000000000005'), 1n, 'half a pico-dollar is rounded up');
  for (const wrong of ['', '.5', 'NaN', '1,5', '+Inf', '1.']) assert.equal(money.parse(wrong), null, wrong);
});

test('sums of amounts are exact where floats are not', () => {
  const dimes = Array.from({ length: 10 }, () => money.parse('0.1'));
  assert.equal(money.exact(money.sum(dimes)), '1');
  assert.equal(money.share(money.parse('1'), money.parse('3')), 0.333333);
  assert.equal(money.share(1n, 0n), 0);
});

test('short amounts are rounded, and never to zero', () => {
  assert.equal(money.short(0n), '$0.00');
  assert.equal(money.short(1n), '<$0.000001');
  assert.equal(money.short(money.parse('0.0127244')), '$0.012724');
  assert.equal(money.short(money.parse('1234567.895')), '$1,234,567.90');
  assert.equal(money.short(money.parse('-3.99999')), '−$4.0000');
});

test('series are read with their labels, whatever stands in those', () => {
  const families = parse([
    '# HELP a text', '# TYPE a counter', 'a{key="x",note="a \\"b\\", {c}\\n"} 3', 'a{key="y"} 4', 'b 1.5e-7 1700000000', '',
  ].join('\n'));
  assert.deepEqual(families.get('a')[0].labels, { key: 'x', note: 'a "b", {c}\n' });
  assert.equal(total(families, 'a'), 7);
  assert.equal(total(families, 'a', ({ key }) => key === 'y'), 4);
  assert.equal(families.get('b')[0].text, '1.5e-7');
  assert.equal(total(families, 'missing'), 0);
});

test('quantiles are interpolated in their bucket, over all series of a histogram', () => {
  const families = parse([
    't_bucket{b="x",le="0.1"} 1', 't_bucket{b="x",le="1"} 5', 't_bucket{b="x",le="+Inf"} 5',
    't_bucket{b="y",le="0.1"} 1', 't_bucket{b="y",le="1"} 4', 't_bucket{b="y",le="+Inf"} 5',
  ].join('\n'));
  const all = buckets(families, 't');
  assert.deepEqual(all.map(({ count }) => count), [2, 9, 10]);
  assert.ok(Math.abs(quantile(0.5, all) - (0.1 + 0.9 * (3 / 7))) < 1e-12);
  assert.equal(quantile(0.99, all), 1, 'beyond the last edge the edge is all that is known');
  assert.equal(quantile(0.5, []), null);
  assert.equal(quantile(0.5, all.map((it) => ({ ...it, count: 0 }))), null);
});

test('what came meanwhile is the difference, or everything after a restart', () => {
  const counts = (...numbers) => numbers.map((count, at) => ({ le: at, count }));
  assert.deepEqual(since(counts(3, 9), counts(1, 4)), counts(2, 5));
  assert.deepEqual(since(counts(0, 2), counts(1, 4)), counts(0, 2));
  assert.deepEqual(since(counts(3, 9), undefined), counts(3, 9));
});
