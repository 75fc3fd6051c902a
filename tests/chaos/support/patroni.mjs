// PostgreSQL under Patroni: a primary, its synchronous standby and etcd, on free loopback ports in a folder of the test.
import { execFile, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { until } from '../../blackbox/support/server.mjs';
import { freePort } from '../../blackbox/support/installation.mjs';
import { asServer } from './installation.mjs';

const execute = promisify(execFile);
const programs = '/usr/lib/postgresql';

function newestPrograms() {
  const versions = readdirSync(programs).filter((name) => existsSync(join(programs, name, 'bin/postgres')));
  return join(programs, versions.sort((a, b) => Number(a) - Number(b)).at(-1), 'bin');
}

/** Two nodes; whoever leads is the primary, the other one its synchronous standby. */
export class Patroni {
  constructor(folder) {
    this.folder = join(folder, 'patroni');
    mkdirSync(this.folder);
    chmodSync(this.folder, 0o777);
    this.nodes = [];
    this.children = new Set();
  }

  /** @param ttl  seconds after which a leader that is silent has lost its place */
  async start({ ttl = 20 } = {}) {
    await this.startEtcd();
    for (const name of ['node1', 'node2']) {
      this.nodes.push({ name, port: await freePort(), rest: await freePort(), data: join(this.folder, name),
        config: join(this.folder, `${name}.json`), output: join(this.folder, `${name}.log`) });
    }
    for (const node of this.nodes) writeFileSync(node.config, JSON.stringify(this.configuration(node, ttl)));
    this.run(this.nodes[0]);
    await until(() => this.leader(), 'the first node to lead', 60);
    this.run(this.nodes[1]);
    await this.untilSynchronous();
  }
  configuration(node, ttl) {
    // Everybody is trusted; Patroni wants a password to give to initdb.
    const user = (name) => ({ username: name, password: 'unused' });
    return {
      scope: 'pam', name: node.name,
      restapi: { listen: `127.0.0.1:${node.rest}`, connect_address: `127.0.0.1:${node.rest}` },
      etcd3: { hosts: `127.0.0.1:${this.etcd}` },
      bootstrap: {
        dcs: { ttl, loop_wait: 2, retry_timeout: 4, synchronous_mode: true,
          postgresql: { use_pg_rewind: true, use_slots: true,
            parameters: { max_connections: 100, shared_buffers: '32MB', huge_pages: 'off', max_wal_size: '256MB',
              synchronous_commit: 'on', wal_keep_size: '128MB', wal_retrieve_retry_interval: '200ms' } } },
        initdb: [{ encoding: 'UTF8' }, { locale: 'C' }],
        pg_hba: ['local all all trust', 'host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust'],
      },
      postgresql: {
        listen: `127.0.0.1:${node.port}`, connect_address: `127.0.0.1:${node.port}`, data_dir: node.data,
        bin_dir: newestPrograms(), pgpass: join(this.folder, `${node.name}.pgpass`),
        remove_data_directory_on_rewind_failure: true, remove_data_directory_on_diverged_timelines: true,
        authentication: { superuser: user('postgres'), replication: user('postgres') },
        parameters: { unix_socket_directories: this.folder, timezone: 'UTC', log_timezone: 'UTC', log_line_prefix: '%m [%p] ' },
      },
    };
  }
  async startEtcd() {
    [this.etcd, this.peers] = [await freePort(), await freePort()];
    const [clients, peers] = [`http://127.0.0.1:${this.etcd}`, `http://127.0.0.1:${this.peers}`];
    this.spawn('etcd', [...asServer, 'etcd', '--name', 'one', '--data-dir', join(this.folder, 'etcd'), '--log-level', 'error',
      '--listen-client-urls', clients, '--advertise-client-urls', clients, '--listen-peer-urls', peers,
      '--initial-advertise-peer-urls', peers, '--initial-cluster', `one=${peers}`], join(this.folder, 'etcd.log'));
    await until(() => fetch(`${clients}/health`).then(({ ok }) => ok, () => false), 'etcd', 20);
  }

  /** Starts a node's Patroni, which starts its PostgreSQL. */
  run(node) {
    node.patroni = this.spawn(node.name, [...asServer, 'patroni', node.config], node.output);
  }
  spawn(name, [command, ...args], output) {
    const file = openSync(output, 'a');
    const child = spawn(command, args, { stdio: ['ignore', file, file], cwd: this.folder });
    child.on('error', (failure) => (this.failure = `${name}: ${failure.message}`));
    const one = { name, child, exited: new Promise((done) => child.on('close', done)) };
    this.children.add(one);
    one.exited.then(() => this.children.delete(one));
    process.once('exit', () => child.kill('SIGKILL'));
    return one;
  }
  postmaster(node) {
    try {
      return Number(readFileSync(join(node.data, 'postmaster.pid'), 'utf8').split('\n')[0]);
    } catch {
      return undefined;
    }
  }

  async members() {
    for (const { rest } of this.nodes) {
      const found = await fetch(`http://127.0.0.1:${rest}/cluster`).then((answer) => answer.json(), () => undefined);
      if (found) return found.members;
    }
    return [];
  }
  /** The node that leads and answers, as Patroni sees it. */
  async leader() {
    if (this.failure) throw new Error(this.failure);
    const found = (await this.members()).find(({ role, state }) => role === 'leader' && state === 'running');
    return found && this.nodes.find(({ name }) => name === found.name);
  }
  async untilSynchronous() {
    await until(async () => (await this.members()).some(({ role, state }) => role === 'sync_standby' && ['running', 'streaming'].includes(state)),
      `a synchronous standby (${this.folder})`, 120);
    await until(async () => (await this.sql("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'")).length > 0,
      'the primary to wait for its standby', 60);
  }
  /** Runs SQL as the superuser on the leader; resolves with the rows as arrays of texts. */
  async sql(text, { database = 'postgres', node } = {}) {
    const { port } = node ?? (await this.leader());
    const { stdout } = await execute('psql', ['-XAtq', '-F', '\t', '-v', 'ON_ERROR_STOP=1', '-h', '127.0.0.1', '-p', String(port),
      '-U', 'postgres', '-d', database, '-c', text], { maxBuffer: 64 << 20 });
    return stdout.split('\n').filter((line) => line !== '').map((line) => line.split('\t'));
  }

  /** kill -9 of the leader's postmaster and Patroni. Resolves with the node. */
  async killLeader() {
    const node = await this.leader();
    node.patroni.child.kill('SIGKILL');
    process.kill(this.postmaster(node), 'SIGKILL');
    await node.patroni.exited;
    return node;
  }
  /** When a node last ended its recovery, in milliseconds since 1970, as its own log has it. */
  promotedAt(node) {
    const lines = readFileSync(node.output, 'utf8').split('\n');
    // "archive recovery complete", then the server accepts writes.
    const at = lines.findLastIndex((line) => line.includes('archive recovery complete'));
    const ready = at < 0 ? -1 : lines.findIndex((line, i) => i > at && line.includes('ready to accept connections'));
    return ready < 0 ? undefined : Date.parse(`${lines[ready].slice(0, 23).replace(' ', 'T')}Z`);
  }

  async stop() {
    for (const one of this.children) if (one.name !== 'etcd') one.child.kill('SIGTERM');
    await Promise.all([...this.children].filter(({ name }) => name !== 'etcd').map(({ exited }) => exited));
    for (const node of this.nodes) {
      // Patroni that was killed has left its PostgreSQL behind.
      const pid = this.postmaster(node);
      if (!pid) continue;
      try {
        process.kill(pid, 'SIGQUIT');
      } catch {
        // gone already
      }
    }
    for (const one of this.children) {
      one.child.kill('SIGTERM');
      await one.exited;
    }
  }
}
