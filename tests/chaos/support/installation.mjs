// An installation that a test may break: PostgreSQL, PgBouncer and several servers, each by itself.
import { execFile } from 'node:child_process';
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { callInternal, forget } from '../../blackbox/support/client.mjs';
import { run, temporaryFolder, until } from '../../blackbox/support/server.mjs';

const execute = promisify(execFile);
const script = join(dirname(fileURLToPath(import.meta.url)), '../../support/cluster.sh');
const isRoot = process.getuid() === 0;
/** What a command is run through that must not be root: PostgreSQL and PgBouncer refuse. */
export const asServer = isRoot ? ['setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups', '--'] : [];

async function freePort() {
  const probe = createServer();
  await new Promise((done) => probe.listen(0, '127.0.0.1', done));
  const { port } = probe.address();
  await new Promise((done) => probe.close(done));
  return port;
}

/** PostgreSQL nodes of tests/support/cluster.sh. */
export class Cluster {
  constructor(folder, conf = '') {
    this.folder = folder;
    this.conf = conf;
    this.sockets = join(folder, 'sock');
  }
  async do(verb, node = 1, ...more) {
    await execute(script, [verb, this.folder, String(node), ...more.map(String)],
      { env: { ...process.env, PAM_CLUSTER_CONF: this.conf } });
  }
  /** Runs SQL as the superuser; resolves with the rows as arrays of texts. */
  async sql(text, { node = 1, database = 'auth' } = {}) {
    const { stdout } = await execute('psql', ['-XAtq', '-F', '\t', '-v', 'ON_ERROR_STOP=1', '-h', this.sockets,
      '-p', String(5400 + node), '-U', 'postgres', '-d', database, '-c', text], { maxBuffer: 64 << 20 });
    return stdout.split('\n').filter((line) => line !== '').map((line) => line.split('\t'));
  }
  socket(node = 1) {
    return join(this.sockets, `.s.PGSQL.${5400 + node}`);
  }
}

/** One PgBouncer in transaction mode before node 1 of a cluster. */
export class Pooler {
  constructor(folder, cluster, port) {
    Object.assign(this, { folder, cluster, port, child: null });
    process.once('exit', () => this.child?.kill('SIGKILL'));
  }
  configure(node = 1) {
    mkdirSync(this.folder, { recursive: true });
    chmodSync(this.folder, 0o777);
    writeFileSync(join(this.folder, 'users.txt'), '"postgres" ""\n"pam_app" ""\n');
    writeFileSync(join(this.folder, 'pgbouncer.ini'), `[databases]
auth_rw = host=${this.cluster.sockets} port=${5400 + node} dbname=auth connect_query='SET plan_cache_mode = force_custom_plan'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${this.port}
unix_socket_dir =
auth_type = trust
auth_file = ${join(this.folder, 'users.txt')}
admin_users = postgres
stats_users = pam_app
pool_mode = transaction
default_pool_size = 8
max_client_conn = 500
server_login_retry = 0.2
server_check_delay = 5
query_wait_timeout = 5
logfile = ${join(this.folder, 'pgbouncer.log')}
`);
  }
  async start() {
    const [command, ...args] = [...asServer, 'pgbouncer', '-q', join(this.folder, 'pgbouncer.ini')];
    this.child = spawn(command, args, { stdio: 'ignore' });
    this.exited = new Promise((done) => this.child.on('close', done));
    await until(() => this.console('SHOW VERSION').then(() => true, () => false), 'PgBouncer', 10);
  }
  async end(signal) {
    this.child.kill(signal);
    await this.exited;
  }
  async console(text) {
    await execute('psql', ['-XAtq', '-h', '127.0.0.1', '-p', String(this.port), '-U', 'postgres', '-d', 'pgbouncer', '-c', text]);
  }
}

/** Connections that only hold a place: logged in as `user`, silent. Resolves when PostgreSQL takes no more. */
export async function hogConnections(socket, user, database) {
  const held = [];
  for (let isFull = false; !isFull && held.length < 500;) {
    const one = connect(socket);
    one.on('error', () => {});
    held.push(one);
    const body = Buffer.from(`\0\x03\0\0user\0${user}\0database\0${database}\0\0`, 'latin1');
    const head = Buffer.alloc(4);
    head.writeInt32BE(body.length + 4);
    one.write(Buffer.concat([head, body]));
    // 'R' welcomes, 'E' refuses: too many connections.
    const first = await new Promise((done) => {
      one.once('data', (bytes) => done(String.fromCharCode(bytes[0])));
      one.once('close', () => done('E'));
    });
    isFull = first !== 'R';
  }
  return { count: held.length, release: () => held.forEach((one) => one.destroy()) };
}

/** Everything together: `servers` processes of pam-auth behind one PgBouncer before one PostgreSQL. */
export class Installation {
  constructor({ disk } = {}) {
    this.folder = temporaryFolder();
    this.cluster = new Cluster(disk ? join(disk, 'pg') : join(this.folder, 'pg'),
      "max_connections = 60\nsuperuser_reserved_connections = 5\nmax_wal_size = 64MB\nmin_wal_size = 32MB\nwal_keep_size = 0");
    this.servers = [];
  }

  /** @param options.standby  node 2 streams from node 1 and may answer the servers' reads */
  async start(count, { standby = false } = {}) {
    await this.cluster.do('make');
    await this.cluster.sql('CREATE DATABASE auth', { database: 'postgres' });
    this.pooler = new Pooler(join(this.folder, 'pooler'), this.cluster, await freePort());
    this.pooler.configure();
    await this.pooler.start();
    await this.startOn(count, { hosts: [`127.0.0.1:${this.pooler.port}`], database: 'auth_rw',
      replicas: standby ? [`auth@${this.cluster.sockets}:5402`] : [], direct: { host: this.cluster.sockets, port: 5401 },
      // Once the schema is there: a standby copies it.
      beforeServing: () => standby && this.cluster.do('standby', 2, 1) });
  }

  /** Servers on a PostgreSQL that runs; `direct` leads to its primary for the migrations. */
  async startOn(count, { hosts, database, replicas = [], direct, beforeServing }) {
    const keys = join(this.folder, 'keys.json');
    const [key, certificate] = [join(this.folder, 'tls.key'), join(this.folder, 'tls.crt')];
    await execute('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
      '-keyout', key, '-out', certificate, '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']);
    this.ca = readFileSync(certificate);
    this.config = join(this.folder, 'pam.toml');
    writeFileSync(this.config, `[server]
profile = "compatible"
site_url = "https://auth.example"
shards = 1
drain_delay = "0s"
[listen]
address = "127.0.0.1"
[tls]
certificate_file = "${certificate}"
private_key_file = "${key}"
[keys]
file = "${keys}"
[limits]
request = "3s"
[hash]
memory_kib = 256
passes = 1
[database]
hosts = ${JSON.stringify(hosts)}
database = "${database}"
replicas = ${JSON.stringify(replicas)}
user = "pam_app"
sslmode = "disable"
[migrate]
host = "${direct.host}"
port = ${direct.port}
database = "auth"
user = "postgres"
[accounts]
auto_confirm = true
`);
    for (const args of [['keys', 'generate', keys], ['migrate', 'up', '--config', this.config]]) {
      const { exited, output } = run(args);
      const { code } = await exited;
      if (code !== 0) throw new Error(`pam-auth ${args.join(' ')}: ${output.all}`);
    }
    await beforeServing?.();
    for (let i = 0; i < count; ++i) {
      // Answers are judged by the load itself: the description cannot be fetched from a server that is down.
      this.servers.push({ isUndescribed: true, host: '127.0.0.1', ca: this.ca, port: await freePort(), internal_port: await freePort() });
      await this.serve(i);
    }
  }

  /** Starts server number `index` (again), on its old ports. */
  async serve(index) {
    const server = this.servers[index];
    const process_ = run(['serve', '--config', this.config],
      { PAM_LISTEN__PORT: String(server.port), PAM_INTERNAL__PORT: String(server.internal_port) });
    let ended = null;
    process_.exited.then((how) => (ended = how));
    Object.assign(server, { child: process_.child, output: process_.output, exited: process_.exited });
    await until(async () => {
      if (ended) throw new Error(`server ${index} ended: ${process_.output.all}`);
      return await this.isReady(server);
    }, `server ${index} to be ready`);
  }
  isReady(server) {
    return callInternal(server, '/readyz').then(({ status }) => status === 200, () => false);
  }
  async allReady() {
    await until(async () => (await Promise.all(this.servers.map((one) => this.isReady(one)))).every(Boolean),
      'every server to be ready', 60);
  }
  async kill(index) {
    const server = this.servers[index];
    server.child.kill('SIGKILL');
    await server.exited;
    forget(server);
  }

  async stop() {
    for (const server of this.servers) {
      forget(server);
      server.child.kill('SIGTERM');
      await server.exited;
    }
    if (this.pooler?.child) await this.pooler.end('SIGINT');
    await this.cluster.do('remove');
  }
}
