// An installation as an operator has it: a configuration file, a key file, and several `pam-auth serve`
// processes on one database (that of a development server).
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createPrivateKey, sign } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';

import { callInternal, forget } from './client.mjs';
import { quickStop, run, startServer, temporaryFolder, until } from './server.mjs';

export async function freePort() {
  const probe = createServer();
  await new Promise((done) => probe.listen(0, '127.0.0.1', done));
  const { port } = probe.address();
  await new Promise((done) => probe.close(done));
  return port;
}

/** Runs a subcommand to its end: {code, all, err, out}. */
export async function command(args, env) {
  const { child, exited, output } = run(args, env);
  let out = '';
  child.stdout.on('data', (bytes) => (out += bytes));
  const { code } = await exited;
  return { code, out, ...output };
}

/** @param options.extra  TOML appended to the configuration */
export async function install({ extra = '' } = {}) {
  const folder = temporaryFolder();
  const keys = join(folder, 'keys.json');
  const config = join(folder, 'pam.toml');
  const servers = [];
  const database = await startServer({ env: quickStop });
  const made = await command(['keys', 'generate', keys]);
  assert.equal(made.code, 0, made.all);
  writeFileSync(config, `[server]
profile = "compatible"
site_url = "https://auth.example"
[listen]
address = "127.0.0.1"
[tls]
certificate_file = "${database.certificate}"
private_key_file = "${join(dirname(database.certificate), 'localhost.key')}"
[keys]
file = "${keys}"
[database]
hosts = ["${database.socket_dir}:${database.pgbouncer_port}"]
database = "auth_rw"
user = "pam_app"
sslmode = "disable"
[accounts]
auto_confirm = true
[hash]
memory_kib = 1024
passes = 1
${extra}
`);

  /** One more process, ready to serve. */
  async function serve(env = {}) {
    const port = Number(env.PAM_LISTEN__PORT ?? await freePort());  // one may be shared
    const internal_port = await freePort();
    const process_ = run(['serve', '--config', config], { ...quickStop, PAM_SERVER__SHARDS: '1',
      PAM_LISTEN__PORT: String(port), PAM_INTERNAL__PORT: String(internal_port), ...env });
    let ended = null;
    process_.exited.then((how) => (ended = how));
    const server = { host: '127.0.0.1', port, internal_port, ca: database.ca, output: process_.output,
      exited: process_.exited, reload: () => process_.child.kill('SIGHUP'),
      stop: () => (forget(server), process_.child.kill('SIGTERM'), process_.exited) };
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

  return {
    folder, keys, config, database, serve,
    /** One statement as the superuser, behind the servers' backs; the rows as psql -At prints them. */
    sql: (text) => new Promise((done, fail) => {
      execFile('psql', ['-X', '-h', database.socket_dir, '-p', String(database.pg_port), '-U', 'postgres', '-d',
        database.database, '-v', 'ON_ERROR_STOP=1', '-Atc', text], (failure, out, err) => {
        if (failure) fail(new Error(err));
        else done(out.trim());
      });
    }),
    async machineToken(role = 'service_role') {
      const minted = await command(['token', '--config', config, '--role', role, '--ttl', '1h', '--subject', 'tester']);
      assert.equal(minted.code, 0, minted.all);
      return minted.out.trim();
    },
    /** A token under the installation's current key of `use` with any claims and header members. */
    forge(use, claims, header = {}) {
      const key = JSON.parse(readFileSync(keys, 'utf8')).keys
        .find((each) => each.pam_use === use && each.pam_state === 'current');
      const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
      const input = `${encode({ alg: 'ES256', kid: key.kid, typ: 'JWT', ...header })}.${encode(claims)}`;
      const { kty, crv, x, y, d } = key;
      const signature = sign('sha256', Buffer.from(input),
        { key: createPrivateKey({ key: { kty, crv, x, y, d }, format: 'jwk' }), dsaEncoding: 'ieee-p1363' });
      return `${input}.${signature.toString('base64url')}`;
    },
    /** Puts other keys into the key file. */
    replaceKeys(change) {
      writeFileSync(keys, JSON.stringify({ keys: change(JSON.parse(readFileSync(keys, 'utf8')).keys) }));
    },
    /** A key file cut short, until restore(). */
    withBrokenKeys() {
      const kept = readFileSync(keys, 'utf8');
      writeFileSync(keys, kept.slice(0, kept.length / 2));
      return { restore: () => writeFileSync(keys, kept) };
    },
    async end() {
      for (const server of [...servers, database]) {
        forget(server);
        await server.stop();
      }
    },
  };
}
