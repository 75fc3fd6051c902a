// The alerts and the dashboard for operators, docker/prometheus and docker/grafana: Prometheus takes what they ask, the
// alerts fire when they should and only then, what both ask about is what a running server says, and docs/operations.md
// says of each alert what to do.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { callInternal, getUser, newAccount, refresh } from './support/client.mjs';
import { checkExposition } from './support/exposition.mjs';
import { install } from './support/fleet.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const rules = join(root, 'docker/prometheus/alerts.yaml');
const worlds = join(root, 'docker/prometheus/alerts_test.yaml');
const dashboard = JSON.parse(readFileSync(join(root, 'docker/grafana/pam-auth.json'), 'utf8'));
const panels = dashboard.panels.filter(({ type }) => type !== 'row');
const read = (file) => readFileSync(file, 'utf8').replaceAll(/^ *#.*$/gm, '');
const alerts = [...read(rules).matchAll(/^ *- alert: (\w+)$/gm)].map(([, name]) => name);
const promtool = (...args) => execFileSync('promtool', args, { encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });

/** Each selector of a text: {name, labels: [[name, value]...]}. */
const selectorsOf = (text) => [...text.matchAll(/\b((?:pam|process)_[a-z0-9_]+)(?:\{([^}]*)\})?/g)].map(([, name, inside = '']) =>
  ({ name, labels: [...inside.matchAll(/(\w+)="([^"]*)"/g)].map(([, label, value]) => [label, value]) }));

/** What a running server says. */
let families;
const given = new Set(['job', 'instance', 'le']); // by Prometheus, and by the kind of metric
function expectOfServer({ name, labels }) {
  const family = families.get(name) ?? families.get(name.replace(/_bucket$/, ''));
  assert.ok(family, `/metrics has no ${name}`);
  assert.ok(families.has(name) || family.type === 'histogram', name);
  for (const [label, value] of labels.filter(([one]) => !given.has(one))) {
    const values = new Set(family.samples.map(({ labels: one }) => one[label]));
    // A class of answers is there once one was given.
    assert.ok(values.has(value) || (label === 'status' && value === '5xx'), `${name} has no ${label}="${value}"`);
  }
}

describe('what operators look at', { timeout: 300_000 }, () => {
  let installation;
  before(async () => {
    installation = await install();
    // What is measured only where it is configured has alerts too.
    const server = await installation.serve({ PAM_PASSWORD__BREACH_URL: 'https://127.0.0.1:1/range', PAM_PASSWORD__BREACH_NETWORKS: '127.0.0.0/8' });
    const account = await newAccount(server);
    await refresh(server, account.refresh_token);
    await getUser(server, account.access_token);
    const { text } = await callInternal(server, '/metrics');
    families = checkExposition(text);
  });
  after(() => installation?.end());

  test('alerts are rules that Prometheus takes', () => {
    assert.match(promtool('check', 'rules', rules), new RegExp(`SUCCESS: ${alerts.length} rules found`));
    assert.equal(new Set(alerts).size, alerts.length);
    assert.ok(alerts.length > 0);
  });

  test('alerts fire when they should and are silent on a busy morning', () => {
    promtool('test', 'rules', worlds);

    const fired = [...read(worlds).matchAll(/alertname="(\w+)", severity=/g)].map(([, name]) => name);
    assert.deepEqual(fired.sort(), [...alerts].sort());
  });

  test('alerts ask about what a running server says', () => {
    const asked = [...selectorsOf(read(rules)), ...selectorsOf(read(worlds))];
    assert.ok(asked.length > alerts.length);
    asked.forEach(expectOfServer);
  });

  test('alerts have a line each in docs/operations.md, which names no other', () => {
    const runbook = [...readFileSync(join(root, 'docs/operations.md'), 'utf8').matchAll(/^\| `(PamAuth\w+)` \| .+ \|$/gm)].map(([, name]) => name);
    assert.deepEqual(runbook, alerts);
  });

  test('every panel of the dashboard asks about what a running server says', () => {
    assert.ok(panels.length > 0);
    for (const { title, targets, datasource } of panels) {
      assert.ok(targets.length > 0, title);
      assert.equal(datasource.uid, '${source}', title);
      for (const { expr } of targets) {
        const asked = selectorsOf(expr);
        assert.ok(asked.length > 0, `${title}: ${expr}`);
        asked.forEach(expectOfServer);
      }
    }
    selectorsOf(dashboard.templating.list.map(({ query }) => query).join('\n')).forEach(expectOfServer);
  });

  test('every label that the dashboard tells apart by is one of the metric', () => {
    for (const { title, targets } of panels) {
      for (const { expr, legendFormat } of targets) {
        const labels = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g), ...expr.matchAll(/by \(([^)]*)\)/g)].flatMap(([, names]) => names.split(/, */));
        for (const { name } of selectorsOf(expr)) {
          const { samples } = families.get(name) ?? families.get(name.replace(/_bucket$/, ''));
          for (const label of labels) {
            assert.ok(given.has(label) || samples.some(({ labels: one }) => label in one), `${title}: ${name} has no label ${label}`);
          }
        }
      }
    }
  });

  test('Prometheus takes every expression of the dashboard', () => {
    const folder = mkdtempSync(join(tmpdir(), 'pam-dashboard.'));
    try {
      const exprs = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr.replaceAll('$__rate_interval', '5m').replaceAll('$job', '.+')));
      const file = join(folder, 'rules.yaml');
      writeFileSync(file, JSON.stringify({ groups: [{ name: 'panels', rules: exprs.map((expr, i) => ({ record: `panel_${i}`, expr })) }] }));
      assert.match(promtool('check', 'rules', file), new RegExp(`SUCCESS: ${exprs.length} rules found`));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('the dashboard has panels with names and numbers of their own that do not lie upon each other', () => {
    const all = dashboard.panels;
    for (const of of ['id', 'title']) assert.equal(new Set(all.map((one) => one[of])).size, all.length, of);
    for (const [i, { title, gridPos: a }] of all.entries()) {
      assert.ok(a.x + a.w <= 24, title);
      for (const { title: other, gridPos: b } of all.slice(i + 1)) {
        assert.ok(a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y, `${title} and ${other}`);
      }
    }
  });
});
