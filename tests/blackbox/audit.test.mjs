// `pam-auth audit export`: what happened over HTTPS leaves the database whole, as the admin route shows it.
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { call, newAccount, newSession, signIn } from './support/client.mjs';
import { command, install } from './support/fleet.mjs';
import { run, until } from './support/server.mjs';

const key = /to go on: --after (\S+)/;

describe('the export of the audit log', { timeout: 120_000 }, () => {
  let site;
  let server;
  let account;
  let begin;
  before(async () => {
    site = await install();
    server = await site.serve();
    begin = new Date().toISOString(); // the development server has signed somebody up by itself
    account = await newAccount(server);
    for (let i = 0; i < 3; ++i) await newSession(server, account);
    await signIn(server, account.email, 'not-the-passphrase');
    await newAccount(server);
  });
  after(() => site?.end());

  const soon = () => new Date(Date.now() + 3_600_000).toISOString();
  const env = () => ({ PAM_MIGRATE__HOST: site.database.socket_dir, PAM_MIGRATE__PORT: String(site.database.pg_port),
    PAM_MIGRATE__DATABASE: site.database.database, PAM_MIGRATE__USER: 'postgres' });
  const exported = (...args) =>
    command(['audit', 'export', '--config', site.config, '--role', 'pam_report', ...args], env());
  const events = (text) => text.split('\n').filter(Boolean).map((line) => JSON.parse(line));

  test('holds the events of the admin route, oldest first', async () => {
    const done = await exported('--to', soon(), '--account', account.user.id);
    const page = await call(server, 'GET', `/auth/v1/admin/audit?account_id=${account.user.id}`,
      { token: await site.machineToken() });

    assert.equal(done.code, 0, done.all);
    assert.deepEqual(events(done.out), page.json.events.reverse());
    assert.equal(events(done.out).length, 5);
    assert.match(done.err, /^exported 5 events; to go on: --after /);
  });

  test('is everybody\'s, or what was asked for', async () => {
    const kinds = async (...args) => events((await exported('--from', begin, '--to', soon(), ...args)).out).map((event) => event.kind);

    assert.deepEqual(await kinds(), ['sign_up', 'sign_in', 'sign_in', 'sign_in', 'sign_in_failed', 'sign_up']);
    assert.deepEqual(await kinds('--success', 'false'), ['sign_in_failed']);
    assert.deepEqual(await kinds('--kind', 'sign_up', '--holder', account.email), ['sign_up']);
    const csv = (await exported('--from', begin, '--to', soon(), '--format', 'csv')).out.split('\n');
    assert.equal(csv[0], 'id,account_id,occurred_at,kind,success,session_id,ip,country,request_id,actor,detail');
    assert.equal(csv.length, 1 + 6 + 1);
  });

  test('goes on in its file where it ended, and never replaces one', async () => {
    const file = join(site.folder, 'events.jsonl');
    const first = await exported('--to', soon(), '--output', file);
    assert.equal(first.code, 0, first.all);
    assert.equal(first.out, '');
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const before = readFileSync(file, 'utf8');

    const again = await exported('--to', soon(), '--output', file);
    assert.equal(again.code, 1);
    assert.match(again.err, /exists and is not replaced/);
    await newSession(server, account);
    const rest = await exported('--to', soon(), '--output', file, '--after', key.exec(first.err)[1]);

    assert.equal(rest.code, 0, rest.all);
    const all = readFileSync(file, 'utf8');
    assert.ok(all.startsWith(before));
    assert.deepEqual(events(all.slice(before.length)).map((event) => event.kind), ['sign_in']);
    const none = await exported('--to', soon(), '--after', key.exec(rest.err)[1]);
    assert.match(none.err, /^exported 0 events; to go on: --after /);
    assert.equal(key.exec(none.err)[1], key.exec(rest.err)[1]);
  });

  test('is of what is surely committed, unless another end is asked for', async () => {
    assert.equal((await exported()).out, '', 'everything here is younger than a minute');
  });

  test('ended by a signal, is whole until the key it tells', async () => {
    const crowd = '00000000-0000-4000-8000-00000000000c';
    await site.sql(`INSERT INTO auth_events (account_id, occurred_at, id, kind, success) SELECT '${crowd}',
      now() - n * interval '1 second', uuid7(), 'sign_in', true FROM generate_series(1, 20000) n`);
    const args = ['audit', 'export', '--config', site.config, '--account', crowd, '--to', soon()];
    const { child, exited, output } = run(args, env());
    let out = '';
    child.stdout.on('data', (bytes) => (out += bytes));
    child.stdout.pause(); // some megabytes: it waits for its reader
    await until(async () => await site.sql(`SELECT count(*) FROM pg_stat_activity WHERE application_name =
      'pam-auth audit' AND state = 'idle'`) === '1', 'the export to wait');
    child.kill('SIGINT');
    child.stdout.resume();

    assert.deepEqual(await exited, { code: 1, signal: null });
    assert.match(output.err, /^Ended by a signal\.\nexported \d+ events; to go on: --after /);
    assert.ok(events(out).length < 20_000);
    const rest = await command([...args, '--after', key.exec(output.err)[1]], env());
    assert.equal(new Set([...events(out), ...events(rest.out)].map((event) => event.id)).size, 20_000);
    assert.equal(events(out).length + events(rest.out).length, 20_000);
  });

  test('says what is wrong with a command line', async () => {
    for (const [args, sentence] of [
      [['--from', 'yesterday'], '--from must be a day such as 2026-11-26 or a time such as 2026-11-26T13:00:00Z\n'],
      [['--from', '2026-02-02', '--to', '2026-02-01'], '--from must lie before --to\n'],
      [['--after', '7'], '--after must be a key that an export ended with\n'],
      [['--account', 'ada'], '--account must be a UUID\n'],
    ]) {
      const done = await exported(...args);
      assert.deepEqual([done.code, done.err], [2, sentence]);
    }
    assert.equal((await exported('--format', 'xml')).code, 2);
    const nobody = await exported('--port', '1', '--host', '127.0.0.1');
    assert.equal(nobody.code, 1);
    assert.match(nobody.err, /^PostgreSQL at 127\.0\.0\.1 port 1 did not let us in as pam_report: /);
  });
});
