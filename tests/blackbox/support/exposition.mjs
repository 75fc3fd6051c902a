// What `promtool check metrics` asks of the Prometheus text format, and what our own names keep.
import assert from 'node:assert/strict';

const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (NaN|[+-]Inf|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/;
const label = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/gy;

function labelsOf(text) {
  const labels = {};
  label.lastIndex = 0;
  while (label.lastIndex < text.length) {
    const match = label.exec(text);
    assert.ok(match, `labels ${text}`);
    assert.ok(!(match[1] in labels), `label ${match[1]} twice`);
    labels[match[1]] = match[2];
  }
  return labels;
}

/** Checks an exposition and returns its families: name -> {type, help, samples: [{name, labels, value}]}. */
export function checkExposition(text) {
  assert.ok(text.endsWith('\n'), 'the last line ends');
  const families = new Map();
  const seen = new Set();
  let current;
  for (const line of text.slice(0, -1).split('\n')) {
    const comment = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line);
    if (comment) {
      const [, kind, name, rest] = comment;
      if (kind === 'HELP') {
        assert.ok(!families.has(name), `${name} stands in two places`);
        current = { name, help: rest, type: undefined, samples: [] };
        families.set(name, current);
      } else {
        assert.equal(current.name, name);
        assert.match(rest, /^(counter|gauge|histogram)$/);
        current.type = rest;
      }
      continue;
    }
    const [, name, labels = '', value] = sample.exec(line) ?? assert.fail(`no sample: ${line}`);
    assert.ok(!seen.has(`${name}{${labels}}`), `${name}{${labels}} twice`);
    seen.add(`${name}{${labels}}`);
    const base = current.type === 'histogram' ? name.replace(/_(bucket|sum|count)$/, '') : name;
    assert.equal(base, current.name, `${name} stands outside its family`);
    current.samples.push({ name, labels: labelsOf(labels), value: Number(value.replace('Inf', 'Infinity')) });
  }
  for (const family of families.values()) checkFamily(family);
  return families;
}

function checkFamily({ name, type, help, samples }) {
  assert.ok(help.length > 0 && type, `${name} has no help or type`);
  assert.match(name, /^(pam|process)_[a-z0-9_]+$/);
  assert.equal(name.endsWith('_total'), type === 'counter', `${name}: counters and only they end in _total`);
  assert.doesNotMatch(name, /_(milli|micro|nano)seconds|_ms\b|_us\b/, `${name}: base units only`);
  if (type === 'counter') for (const { value } of samples) assert.ok(value >= 0);
  if (type === 'histogram') checkHistogram(name, samples);
}

function checkHistogram(name, samples) {
  assert.match(name, /_seconds$/);
  const series = new Map();
  for (const { name: part, labels, value } of samples) {
    const { le, ...rest } = labels;
    const key = JSON.stringify(rest);
    if (!series.has(key)) series.set(key, { buckets: [] });
    const one = series.get(key);
    if (part.endsWith('_bucket')) one.buckets.push([Number(le.replace('+Inf', 'Infinity')), value]);
    else one[part.endsWith('_sum') ? 'sum' : 'count'] = value;
  }
  for (const { buckets, sum, count } of series.values()) {
    for (let i = 1; i < buckets.length; ++i) {
      assert.ok(buckets[i][0] > buckets[i - 1][0] && buckets[i][1] >= buckets[i - 1][1], `${name}: buckets rise`);
    }
    assert.equal(buckets.at(-1)[0], Infinity);
    assert.equal(buckets.at(-1)[1], count);
    assert.ok(sum >= 0);
  }
}
