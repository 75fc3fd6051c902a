// What a run needs around it: PostgreSQL, PgBouncer, the schema, users, and servers on one port.
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';

import { fetchText, run, sleep, start, stop, until } from './index.mjs';

export async function freePort() {
  const probe = createServer();
  await new Promise((done) => probe.listen(0, '127.0.0.1', done));
  const { port } = probe.address();
  await new Promise((done) => probe.close(done));
  return port;
}

const isRoot = process.getuid() === 0;

async function newCertificate(certificate, key) {
  await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
    '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', key, '-out', certificate]);
}

/** PostgreSQL and PgBouncer refuse to run as root: the user postgres then. */
const asServer = (program, args) =>
  isRoot ? ['setpriv', ['--reuid=postgres', '--regid=postgres', '--clear-groups', '--', program, ...args]] : [program, args];

const sizeOf = (file) => statSync(file, { throwIfNoEntry: false })?.size ?? 0;

/** Whether a log names `event` from byte `from` on. Never read whole: a server writes a line for each request. */
function names(log, event, from) {
  const bytes = Buffer.alloc(Math.max(0, sizeOf(log) - from));
  if (bytes.length === 0) return false;
  const file = openSync(log, 'r');
  readSync(file, bytes, 0, bytes.length, from);
  closeSync(file);
  return bytes.includes(`"event":"${event}"`);
}

export class Stage {
  constructor(profile, { binary, folder, pgbouncer }) {
    this.profile = profile;
    this.binary = binary;
    this.reports = folder;
    this.pgbouncerProgram = pgbouncer;
    this.root = mkdtempSync('/tmp/pam-load-');
    chmodSync(this.root, 0o755);
    process.on('exit', () => rmSync(this.root, { recursive: true, force: true }));
    this.sockets = join(this.root, 'sock');
    this.servers = [];
    this.leaving = []; // replaced, not ended yet
  }

  async open() {
    for (const name of ['sock', 'data', 'log']) mkdirSync(join(this.root, name), { mode: name === 'data' ? 0o700 : 0o755 });
    if (isRoot) {
      const [uid, gid] = (await run('getent', ['passwd', 'postgres'])).split(':').slice(2, 4).map(Number);
      for (const name of ['.', 'sock', 'data', 'log']) chownSync(join(this.root, name), uid, gid);
    }
    await this.openPostgres();
    await this.openPgBouncer();
    await this.writeSettings();
    await run(this.binary, ['migrate', 'up', '--config', this.config]);
  }

  async openPostgres() {
    this.pgBin = (await run('pg_config', ['--bindir'])).trim();
    const data = join(this.root, 'data');
    const local = asServer(join(this.pgBin, 'initdb'),
      ['--pgdata', data, '--username=postgres', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync']);
    await run(...local);
    const settings = ["listen_addresses = ''", `unix_socket_directories = '${this.sockets}'`, 'port = 5432',
      'max_connections = 100', `shared_buffers = '${this.profile.shared_buffers}'`, 'huge_pages = try', 'fsync = on',
      'synchronous_commit = on', 'full_page_writes = on', "max_wal_size = '4GB'", "checkpoint_timeout = '5min'",
      'checkpoint_completion_target = 0.9', 'random_page_cost = 1.1', "timezone = 'UTC'", 'max_wal_senders = 4',
      `commit_delay = ${this.profile.commit_delay ?? 0}`];
    const file = join(data, 'postgresql.conf');
    writeFileSync(file, `${readFileSync(file, 'utf8')}\n${settings.join('\n')}\n`);
    this.postgres = start(...asServer(join(this.pgBin, 'postgres'), ['-D', data]), { log: join(this.root, 'log/postgres.log') });
    await until(() => this.sql('SELECT 1', 'postgres').catch(() => null), 'PostgreSQL', 60);
    await this.sql('CREATE DATABASE pam', 'postgres');
  }

  async openPgBouncer() {
    this.poolerPort = await freePort();
    const file = join(this.root, 'pgbouncer.ini');
    const version = /(\d+)\.(\d+)/.exec(await run(this.pgbouncerProgram, ['--version']));
    this.poolerVersion = version[0];
    const isOld = Number(version[1]) === 1 && Number(version[2]) < 21;
    // docs/adr/0016: unnamed statements are planned each time, and must be planned for their values.
    const plan = isOld ? " connect_query='SET plan_cache_mode = force_custom_plan'" : '';
    writeFileSync(join(this.root, 'users.txt'), '"pam_app" ""\n"postgres" ""\n');
    writeFileSync(file, ['[databases]', `auth_rw = host=${this.sockets} port=5432 dbname=pam${plan}`, '[pgbouncer]',
      'listen_addr = 127.0.0.1', `listen_port = ${this.poolerPort}`, `unix_socket_dir = ${this.sockets}`, 'auth_type = trust',
      `auth_file = ${join(this.root, 'users.txt')}`, 'admin_users = postgres', 'stats_users = pam_app', 'pool_mode = transaction',
      'default_pool_size = 40', 'max_client_conn = 1000', 'server_login_retry = 0.2', 'query_wait_timeout = 5',
      'server_check_delay = 5', 'log_connections = 0', 'log_disconnections = 0', 'ignore_startup_parameters = extra_float_digits',
      ...(isOld ? [] : ['max_prepared_statements = 200']), ''].join('\n'));
    this.pgbouncer = start(...asServer(this.pgbouncerProgram, ['-q', file]), { log: join(this.root, 'log/pgbouncer.log') });
    await until(() => run('psql', ['-XAtqc', 'SHOW VERSION', '-h', this.sockets, '-p', String(this.poolerPort), '-U', 'postgres',
      'pgbouncer']).catch(() => null), 'PgBouncer', 20);
  }

  async writeSettings() {
    this.port = await freePort();
    this.certificate = join(this.root, 'localhost.crt');
    this.keys = join(this.root, 'keys.json');
    this.issuer = 'https://localhost:8443/auth/v1';
    this.key = join(this.root, 'localhost.key');
    [this.nextCertificate, this.nextKey] = ['next.crt', 'next.key'].map((name) => join(this.root, name));
    await newCertificate(this.certificate, this.key);
    await newCertificate(this.nextCertificate, this.nextKey);
    // Clients trust the certificate a reload will bring from the beginning.
    this.anchors = join(this.root, 'anchors.pem');
    writeFileSync(this.anchors, readFileSync(this.certificate, 'utf8') + readFileSync(this.nextCertificate, 'utf8'));
    const tickets = join(this.root, 'tickets');
    writeFileSync(tickets, randomBytes(64), { mode: 0o600 });
    this.control = join(this.root, 'control');
    mkdirSync(this.control, { mode: 0o700 });
    await run(this.binary, ['keys', 'generate', this.keys]);
    this.config = join(this.root, 'pam.toml');
    writeFileSync(this.config, `[server]
profile = "compatible"
site_url = "https://localhost:8443"
shards = 1
drain_delay = "0s"
drain_timeout = "${this.profile.drain_timeout ?? '90s'}"
[listen]
address = "127.0.0.1"
port = ${this.port}
reuse_port = true
[tls]
certificate_file = "${this.certificate}"
private_key_file = "${this.key}"
ticket_secret_file = "${tickets}"
[limits]
connections = 19000
handshakes_per_second = ${this.profile.handshakes_per_second ?? 1200}
keep_alive = "${this.profile.keep_alive ?? '75s'}"
[keys]
file = "${this.keys}"
[tokens]
access_lifetime = "${this.profile.access_lifetime}s"
[database]
hosts = ["${this.sockets}:${this.poolerPort}"]
database = "auth_rw"
user = "pam_app"
sslmode = "disable"
leases = 2
[migrate]
host = "${this.sockets}"
port = 5432
database = "pam"
user = "postgres"
[hash]
max_wait = "${this.profile.hash_max_wait ?? '1s'}"
threads = 1
[admission]
bearable_wait = "${this.profile.bearable_wait ?? '250ms'}"
[accounts]
auto_confirm = true
[log]
level = "${this.profile.log_level ?? 'info'}"
`);
  }

  /** By the program itself: Debian's wrapper is a Perl program, and would be in the figures. */
  async sql(text, database = 'pam') {
    return (await run(join(this.pgBin, 'psql'), ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-h', this.sockets, '-p', '5432', '-U', 'postgres', '-c', text, database])).trim();
  }

  async startServers() {
    for (let i = 0; i < this.profile.servers; ++i) await this.startServer(i, await freePort());
  }

  /** Starts process `i`, which takes over from the one that has its place; resolves when it serves. */
  async startServer(i, internal) {
    const log = join(this.root, `log/server-${i}.log`);
    const before = sizeOf(log);
    const child = start(this.binary, ['serve', '--config', this.config, '--take-over'],
      { log, env: { PAM_INTERNAL__PORT: String(internal), PAM_SERVER__CONTROL_SOCKET: join(this.control, String(i)) } });
    child.internal = internal;
    this.servers[i] = child;
    // Not by /readyz alone: the one before it answers on the same port.
    await until(async () => {
      if (child.result) throw new Error(`server ${i} ended: ${readFileSync(log, 'utf8').slice(-4000)}`);
      return names(log, 'ready', before) && (await fetchText(internal, '/readyz')).status === 200;
    }, `server ${i}`, 60);
  }

  /** Replaces process `i` without an interruption; resolves with the old one, which drains yet. */
  async replace(i) {
    const old = this.servers[i];
    await this.startServer(i, old.internal);
    this.leaving.push(old);
    return old;
  }

  /** Kills process `i` with everything that is connected to it, and starts it again, as a supervisor would. */
  async crash(i) {
    const { internal } = this.servers[i];
    await stop(this.servers[i], 'SIGKILL');
    await this.startServer(i, internal);
  }

  /** Has every process reload; resolves when all have. */
  async reload() {
    await Promise.all(this.servers.map(async (server, i) => {
      const log = join(this.root, `log/server-${i}.log`);
      const before = sizeOf(log);
      server.kill('SIGHUP');
      await until(() => names(log, 'reloaded', before), `server ${i} to reload`, 30);
    }));
  }

  /** Ends everything and removes the data. Logs that matter have been read by then. */
  async close() {
    await Promise.all([...this.servers, ...this.leaving].map((each) => stop(each)));
    if (this.pgbouncer) await stop(this.pgbouncer, 'SIGTERM', 5);
    if (this.postgres) await stop(this.postgres, 'SIGINT', 30);
    await sleep(0);
    rmSync(this.root, { recursive: true, force: true });
  }
}
