// `pam-auth serve` and the operator's subcommands, as an installation uses them: a configuration file,
// keys of its own, and several processes on one database.
import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { assertProblem, assertTokenResponse, call, callInternal, claimsOf, forget, getUser, logOut, newAccount, refresh } from './support/client.mjs';
import { quickStop, run, startServer, temporaryFolder, until } from './support/server.mjs';

async function freePort() {
  const probe = createServer();
  await new Promise((done) => probe.listen(0, '127.0.0.1', done));
  const { port } = probe.address();
  await new Promise((done) => probe.close(done));
  return port;
}

/** Runs a subcommand to its end. */
async function command(args, env) {
  const { exited, output } = run(args, env);
  const { code } = await exited;
  return { code, ...output };
}

describe('an installation', { timeout: 180_000 }, () => {
  const folder = temporaryFolder();
  const keys = join(folder, 'keys.json');
  const config = join(folder, 'pam.toml');
  let database; // a development server: its PostgreSQL and PgBouncer are the installation's
  const servers = [];

  /** One more process of the installation, ready to serve. */
  async function serve() {
    const [port, internal_port] = [await freePort(), await freePort()];
    const process_ = run(['serve', '--config', config],
      { ...quickStop, PAM_LISTEN__PORT: String(port), PAM_INTERNAL__PORT: String(internal_port) });
    let ended = null;
    process_.exited.then((how) => (ended = how));
    const server = { host: '127.0.0.1', port, internal_port, ca: database.ca, output: process_.output, exited: process_.exited,
      reload: () => process_.child.kill('SIGHUP'), stop: () => (process_.child.kill('SIGTERM'), process_.exited) };
    await until(async () => {
      assert.equal(ended, null, process_.output.all);
      try {
        return (await callInternal(server, '/readyz')).status === 200;
      } catch {
        return false;
      }
    }, 'a server to be ready');
    servers.push(server);
    return server;
  }

  before(async () => {
    database = await startServer({ env: quickStop });
    const made = await command(['keys', 'generate', keys]);
    assert.equal(made.code, 0, made.all);
    const state = dirname(database.certificate);
    writeFileSync(config, `[server]
profile = "compatible"
site_url = "https://auth.example"
[listen]
address = "127.0.0.1"
[tls]
certificate_file = "${database.certificate}"
private_key_file = "${join(state, 'localhost.key')}"
[keys]
file = "${keys}"
[database]
hosts = ["${database.socket_dir}:${database.pgbouncer_port}"]
database = "auth_rw"
user = "pam_app"
sslmode = "disable"
[migrate]
host = "${database.socket_dir}"
port = ${database.pg_port}
database = "${database.database}"
user = "postgres"
[accounts]
auto_confirm = true
`);
  });
  after(async () => {
    for (const server of [...servers, database].filter(Boolean)) {
      forget(server);
      await server.stop();
    }
  });

  test('has keys that only their owner can read and that are never replaced by accident', async () => {
    assert.equal(statSync(keys).mode & 0o777, 0o600);
    const before = readFileSync(keys, 'utf8');

    const again = await command(['keys', 'generate', keys]);

    assert.ok(again.code > 0);
    assert.match(again.err, /exists/);
    assert.equal(readFileSync(keys, 'utf8'), before);
  });

  test('has a configuration that can be checked before it is used', async () => {
    assert.equal((await command(['config', 'check', config])).code, 0);

    const broken = join(folder, 'broken.toml');
    writeFileSync(broken, '[limits]\nconections = 5\nbody = "soon"\n[nothing]\n');
    const { code, err } = await command(['config', 'check', broken]);

    assert.ok(code > 0);
    assert.match(err, /conections/);
    assert.match(err, /limits\.connections/, 'the nearest known key');
    assert.match(err, /soon/);
    assert.match(err, /nothing/);
  });

  test('prints a default configuration that is a valid one', async () => {
    const printed = await command(['config', 'default']);
    const file = join(folder, 'default.toml');
    writeFileSync(file, printed.all);

    const { err } = await command(['config', 'check', file]);

    // What is missing is what no default can know; nothing in it is unknown or malformed.
    for (const line of err.split('\n').filter((text) => text.trim())) assert.match(line, /needed to serve/);
  });

  test('does not serve before its profile was chosen', async () => {
    const undecided = join(folder, 'undecided.toml');
    writeFileSync(undecided, readFileSync(config, 'utf8').replace('profile = "compatible"\n', ''));

    const { code, err } = await command(['serve', '--config', undecided]);

    assert.ok(code > 0);
    assert.match(err, /server\.profile/);
  });

  test('has a migrated schema, and migrating again changes nothing', async () => {
    assert.equal((await command(['migrate', 'status', '--config', config])).code, 0);
    assert.equal((await command(['migrate', 'up', '--config', config])).code, 0);
    const verified = await command(['migrate', 'verify', '--config', config]);
    assert.equal(verified.code, 0, verified.all);
  });

  test('of two processes obeys at one what was decided at the other', async () => {
    const [first, second] = [await serve(), await serve()];
    const account = await newAccount(first);

    assert.equal((await getUser(second, account.access_token)).json.id, account.user.id);
    const next = await refresh(second, account.refresh_token);
    assertTokenResponse(next);
    assert.equal((await refresh(first, account.refresh_token)).json.refresh_token, next.json.refresh_token);
    await logOut(first, next.json.access_token);

    assertProblem(await getUser(second, next.json.access_token), 403, 'session_not_found');
    assert.equal((await refresh(second, next.json.refresh_token)).status, 400);
    assert.equal(claimsOf(account.access_token).iss, 'https://auth.example/auth/v1');
  });

  test('lets one token rotate once, whichever process it reaches', async () => {
    const [first, second] = servers.length >= 2 ? servers : [await serve(), await serve()];
    const account = await newAccount(first);

    const answers = await Promise.all(Array.from({ length: 40 },
      (_, i) => refresh(i % 2 === 0 ? first : second, account.refresh_token)));

    for (const answer of answers) assertTokenResponse(answer);
    assert.equal(new Set(answers.map(({ json }) => json.refresh_token)).size, 1);
  });

  test('refuses the tokens of another installation', async () => {
    const server = servers[0] ?? await serve();
    const stranger = await newAccount(database);

    assertProblem(await getUser(server, stranger.access_token), 403, 'bad_jwt');
    assertProblem(await refresh(server, stranger.refresh_token), 400, 'refresh_token_not_found');
  });

  test('takes no machine token for a user', async () => {
    const server = servers[0] ?? await serve();
    const minted = run(['token', '--config', config, '--role', 'service_role', '--ttl', '1h']);
    let token = '';
    minted.child.stdout.on('data', (bytes) => (token += bytes));
    assert.equal((await minted.exited).code, 0, minted.output.all);

    const answer = await getUser(server, token.trim());

    assert.equal(answer.status, 403, answer.text);
    assert.equal((await command(['token', '--config', config, '--role', 'authenticated', '--ttl', '1h'])).code > 0, true);
  });

  /** A database that never comes: where it would be, and how to end the pretence. */
  const nowhere = {
    'nothing listens': async () => ({ at: `127.0.0.1:${await freePort()}`, end: () => {} }),
    'somebody accepts and says nothing': async () => {
      const sockets = new Set();
      const silent = createServer((socket) => sockets.add(socket.on('error', () => {})));
      await new Promise((done) => silent.listen(0, '127.0.0.1', done));
      return { at: `127.0.0.1:${silent.address().port}`, end: () => {
        for (const socket of sockets) socket.destroy();
        silent.close();
      } };
    },
  };
  for (const [what, pretend] of Object.entries(nowhere)) {
    test(`stops within a second although it never found its database: ${what}`, async () => {
      const { at, end } = await pretend();
      const server = run(['serve', '--config', config], { ...quickStop, PAM_DATABASE__HOSTS: at,
        PAM_LISTEN__PORT: String(await freePort()), PAM_INTERNAL__PORT: String(await freePort()) });
      await until(() => server.output.all.includes('"event":"ready"'), 'a server without a database');

      const asked = performance.now();
      server.child.kill('SIGTERM');
      const how = await server.exited;
      const took = performance.now() - asked;

      end();
      assert.deepEqual(how, { code: 0, signal: null }, server.output.all);
      // Twice the second, for a machine that has other work.
      assert.ok(took < 2_000, `${Math.round(took)} ms`);
    });
  }

  test('reloads on SIGHUP without losing a connection', async () => {
    const server = servers[0] ?? await serve();
    const account = await newAccount(server);

    server.reload();
    await until(() => server.output.all.includes('"reloaded"'), 'the reload in the log', 10);

    assert.equal((await getUser(server, account.access_token)).status, 200);
  });

  test('takes another threshold for slow requests on SIGHUP', async () => {
    const server = servers[0] ?? await serve();
    const slow = () => server.output.all.includes('"slow_request"');
    assert.equal(slow(), false);

    writeFileSync(config, `${readFileSync(config, 'utf8')}[log]\nslow_request = "1ms"\n`);
    server.reload();

    await until(async () => {
      await newAccount(server);
      return slow();
    }, 'a slow request in the log');
  });
});
