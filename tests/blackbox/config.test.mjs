// What `pam-auth config` tells, and that the documents tell nothing else.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { command } from './support/fleet.mjs';
import { temporaryFolder } from './support/server.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');

/** Every key of `config reference`: "section.key" to its row. */
async function reference() {
  const { code, out } = await command(['config', 'reference']);
  assert.equal(code, 0);
  const rows = new Map();
  let section;
  for (const line of out.split('\n')) {
    section = /^## \[(\w+)\]/.exec(line)?.[1] ?? section;
    const row = /^\| `(\w+)` \| `(.*?)` \|/.exec(line);
    if (row) rows.set(`${section}.${row[1]}`, { value: row[2], isReloadable: line.endsWith('| yes |') });
  }
  return rows;
}

describe('config', { timeout: 60_000 }, () => {
  test('explain tells the same of every key as the reference', async () => {
    const rows = await reference();
    assert.ok(rows.size > 90);

    for (const [key, { value, isReloadable }] of rows) {
      const { code, out } = await command(['config', 'explain', key]);

      assert.equal(code, 0, key);
      assert.ok(out.startsWith(`${key}\n`), out);
      assert.ok(out.includes(`  default     ${value}`), `${key}: ${out}`);
      assert.match(out, isReloadable ? /reload +yes, on SIGHUP/ : /reload +no, a change needs a restart/);
      assert.match(out, /^ {2}takes +\S/m);
      assert.match(out, /in force .*, from default/);
    }
  });

  test('explain names the value in force and where it comes from', async () => {
    const file = join(temporaryFolder(), 'pam.toml');
    writeFileSync(file, '[log]\nlevel = "warn"\nslow_request = "2s"\n');

    const fromFile = await command(['config', 'explain', 'log.slow_request', '--config', file]);
    assert.match(fromFile.out, new RegExp(`in force +"2s", from ${file}:3\n`));
    const wins = await command(['config', 'explain', 'PAM_LOG__LEVEL'], { PAM_CONFIG: file, PAM_LOG__LEVEL: 'error' });
    assert.match(wins.out, /in force +"error", from environment PAM_LOG__LEVEL\n/);
    const refused = await command(['config', 'explain', 'log.level', '--config', file], { PAM_LOG__FLOOD_LIMIT: '-1' });
    assert.equal(refused.code, 1);
    assert.match(refused.err, /the configuration is refused:\nenvironment PAM_LOG__FLOOD_LIMIT: log\.flood_limit: must be/);
  });

  test('explain answers an unknown key with the nearest ones and status 2', async () => {
    const { code, err, out } = await command(['config', 'explain', 'log.slow_requst']);

    assert.equal(code, 2);
    assert.equal(out, '');
    assert.match(err, /"log\.slow_requst" is no key of the configuration; the nearest: log\.slow_request/);
  });

  test('has every key the documents name', async () => {
    const keys = await reference();
    const sections = new Set([...keys.keys()].map((key) => key.split('.')[0]));
    const pages = ['README.md', ...readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)];
    const named = new Set();
    const unknown = [];
    for (const page of pages) {
      const text = readFileSync(join(root, page), 'utf8');
      const see = (key) => {
        if (!sections.has(key.split('.')[0])) return;
        named.add(key);
        if (!keys.has(key)) unknown.push(`${page}: ${key}`);
      };
      for (const [, key] of text.matchAll(/`([a-z_]+\.[a-z_]+)(?: = [^`]*)?`/g)) see(key);
      for (const [, section, name] of text.matchAll(/\bPAM_([A-Z]+(?:_[A-Z]+)*)__([A-Z_]+)/g)) see(`${section}.${name}`.toLowerCase());
    }

    assert.ok(named.size > 15, `only ${[...named]}`);
    assert.deepEqual(unknown, []);
  });
});
