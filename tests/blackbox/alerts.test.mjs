// The alerts for operators, docker/prometheus: Prometheus takes them, they fire when they should and only then, what
// they ask about is what a running server says, and docs/operations.md says of each what to do.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { callInternal, getUser, newAccount, refresh } from './support/client.mjs';
import { checkExposition } from './support/exposition.mjs';
import { install } from './support/fleet.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const rules = join(root, 'docker/prometheus/alerts.yaml');
const worlds = join(root, 'docker/prometheus/alerts_test.yaml');
const read = (file) => readFileSync(file, 'utf8').replaceAll(/^ *#.*$/gm, '');
const alerts = [...read(rules).matchAll(/^ *- alert: (\w+)$/gm)].map(([, name]) => name);
const promtool = (...args) => execFileSync('promtool', args, { encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });

/** Each selector of a text: {name, labels: [[name, value]...]}. */
const selectorsOf = (text) => [...text.matchAll(/\b((?:pam|process)_[a-z0-9_]+)(?:\{([^}]*)\})?/g)].map(([, name, inside = '']) =>
  ({ name, labels: [...inside.matchAll(/(\w+)="([^"]*)"/g)].map(([, label, value]) => [label, value]) }));

describe('alerts', { timeout: 300_000 }, () => {
  let installation;
  let families;
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

  test('are rules that Prometheus takes', () => {
    assert.match(promtool('check', 'rules', rules), new RegExp(`SUCCESS: ${alerts.length} rules found`));
    assert.equal(new Set(alerts).size, alerts.length);
    assert.ok(alerts.length > 0);
  });

  test('fire when they should and are silent on a busy morning', () => {
    promtool('test', 'rules', worlds);

    const fired = [...read(worlds).matchAll(/alertname="(\w+)", severity=/g)].map(([, name]) => name);
    assert.deepEqual(fired.sort(), [...alerts].sort());
  });

  test('ask about what a running server says', () => {
    const asked = [...selectorsOf(read(rules)), ...selectorsOf(read(worlds))];
    assert.ok(asked.length > alerts.length);
    const given = new Set(['job', 'instance', 'le']); // by Prometheus, and by the kind of metric
    for (const { name, labels } of asked) {
      const family = families.get(name) ?? families.get(name.replace(/_bucket$/, ''));
      assert.ok(family, `/metrics has no ${name}`);
      assert.ok(families.has(name) || family.type === 'histogram', name);
      for (const [label, value] of labels.filter(([one]) => !given.has(one))) {
        const values = new Set(family.samples.map(({ labels: one }) => one[label]));
        // A class of answers is there once one was given.
        assert.ok(values.has(value) || (label === 'status' && value === '5xx'), `${name} has no ${label}="${value}"`);
      }
    }
  });

  test('have a line each in docs/operations.md, which names no other', () => {
    const runbook = [...readFileSync(join(root, 'docs/operations.md'), 'utf8').matchAll(/^\| `(PamAuth\w+)` \| .+ \|$/gm)].map(([, name]) => name);
    assert.deepEqual(runbook, alerts);
  });
});
