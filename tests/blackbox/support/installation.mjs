// An installation of `pam-auth serve`: one configuration file with keys, on the database of a development
// server, for any number of processes.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';

import { callInternal } from './client.mjs';
import { quickStop, run, startServer, temporaryFolder, until } from './server.mjs';

export async function freePort() {
  const probe = createServer();
  await new Promise((done) => probe.listen(0, '127.0.0.1', done));
  const { port } = probe.address();
  await new Promise((done) => probe.close(done));
  return port;
}

/**
 * Makes an installation and starts its database.
 * @param options.toml  lines added to sections, e.g. { server: ['shards = 2'] }
 */
export async function install({ toml = {} } = {}) {
  const folder = temporaryFolder();
  const keys = join(folder, 'keys.json');
  const config = join(folder, 'pam.toml');
  const database = await startServer({ env: quickStop });
  const made = run(['keys', 'generate', keys]);
  assert.equal((await made.exited).code, 0, made.output.all);
  const [port, internal_port] = [await freePort(), await freePort()];
  const control = join(folder, 'control');
  const sections = {
    server: ['profile = "compatible"', 'site_url = "https://auth.example"', `control_socket = "${control}"`,
      'drain_delay = "0s"', 'drain_timeout = "20s"'],
    listen: ['address = "127.0.0.1"', `port = ${port}`],
    internal: [`port = ${internal_port}`],
    tls: [`certificate_file = "${database.certificate}"`,
      `private_key_file = "${join(dirname(database.certificate), 'localhost.key')}"`],
    keys: [`file = "${keys}"`],
    database: [`hosts = ["${database.socket_dir}:${database.pgbouncer_port}"]`, 'database = "auth_rw"',
      'user = "pam_app"', 'sslmode = "disable"'],
    accounts: ['auto_confirm = true'],
  };
  for (const [name, lines] of Object.entries(toml)) sections[name] = [...(sections[name] ?? []), ...lines];
  const write = () => writeFileSync(config, Object.entries(sections)
    .map(([name, lines]) => `[${name}]\n${lines.join('\n')}\n`).join(''));
  write();
  const processes = new Set();
  const address = { host: '127.0.0.1', port, internal_port, ca: database.ca };

  /** Starts a process; resolves when it says that it is ready. `launch` may wrap the command. */
  async function serve({ args = [], env = {}, ...launch } = {}) {
    const process_ = run(['serve', '--config', config, ...args], env, launch);
    let ended = null;
    process_.exited.then((how) => (ended = how));
    const server = { ...address, pid: process_.child.pid, output: process_.output, exited: process_.exited,
      kill: (signal) => process_.child.kill(signal),
      stop: () => (process_.child.kill('SIGTERM'), process_.exited) };
    processes.add(server);
    process_.exited.then(() => processes.delete(server));
    await until(() => {
      assert.equal(ended, null, process_.output.all);
      return process_.output.all.includes('"event":"ready"');
    }, 'a server to be ready', 60);
    return server;
  }

  /** What /metrics says of one series of whoever answers at the internal port. */
  const isReady = async () => {
    try {
      return (await callInternal(address, '/readyz')).status === 200;
    } catch {
      return false;
    }
  };

  return { ...address, folder, config, control, database, sections, write, serve, isReady,
    async stop() {
      await Promise.all([...processes].map((server) => server.stop()));
      await database.stop();
    } };
}
