// Servers, nginx and generators of one bench, each on its core.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import tls from 'node:tls';
import { createInterface } from 'node:readline';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { cpuOfThreads, fetchText, residentOf, run, start, until } from '../../load-tests/runner/index.mjs';
import { Stage, freePort } from '../../load-tests/runner/stage.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const serverCore = '0';
const otherCore = '1';

export const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
};

/** The stage of load-tests, its database on the generator's core, and what a bench adds. */
export class Place extends Stage {
  constructor(bin) {
    super({ servers: 1, users: 2000, shared_buffers: '256MB', access_lifetime: 3600, log_level: 'warn' },
      { binary: join(bin, 'pam-auth'), folder: '', pgbouncer: process.env.PAM_PGBOUNCER ?? '/usr/sbin/pgbouncer' });
    this.bin = bin;
    this.extra = [];
  }

  async open() {
    await super.open();
    for (const { pid } of [this.postgres, this.pgbouncer]) await run('taskset', ['-acp', otherCore, String(pid)]);
  }

  /** One more `pam-auth serve`; resolves when it is ready, with the milliseconds that took. */
  async serve(env = {}) {
    const [port, internal] = [await freePort(), await freePort()];
    const began = process.hrtime.bigint();
    const child = start('taskset', ['-c', serverCore, this.binary, 'serve', '--config', this.config],
      { log: join(this.root, `log/server-${port}.log`), env: { PAM_LISTEN__PORT: String(port), PAM_INTERNAL__PORT: String(internal), ...env } });
    this.servers.push(child);
    for (;;) {
      if (child.result) throw new Error(readFileSync(join(this.root, `log/server-${port}.log`), 'utf8'));
      if ((await fetchText(internal, '/readyz')).status === 200) break;
      await new Promise((next) => setTimeout(next, 2));
    }
    return Object.assign(child, { port, internal, ready_ms: Number(process.hrtime.bigint() - began) / 1e6 });
  }

  async nginx() {
    const folder = join(this.root, 'nginx');
    mkdirSync(folder);
    const values = { FOLDER: folder, PLAIN: await freePort(), TLS: await freePort(), CERTIFICATE: this.certificate, KEY: join(this.root, 'localhost.key') };
    const file = join(folder, 'nginx.conf');
    writeFileSync(file, readFileSync(join(here, 'nginx.conf.in'), 'utf8').replace(/@(\w+)@/g, (_, name) => values[name]));
    const child = start('taskset', ['-c', serverCore, 'nginx', '-c', file], { log: join(folder, 'out.log') });
    this.servers.push(child);
    await until(() => fetchText(values.PLAIN, '/').then(({ status }) => status === 200), 'nginx', 10);
    return Object.assign(child, { plain: values.PLAIN, tls: values.TLS });
  }

  /** Epoll and OpenSSL alone, with the bytes that `ours` answers to `request`. */
  async floor(ours, request) {
    const [port, answer] = [await freePort(), join(this.root, 'floor-answer')];
    writeFileSync(answer, await this.raw(ours.port, request));
    const child = start('taskset', ['-c', serverCore, join(this.bin, 'net_floor'), '--port', String(port), '--certificate', this.certificate,
      '--key', join(this.root, 'localhost.key'), '--answer', answer], { log: join(this.root, 'log/floor.log') });
    this.servers.push(child);
    await until(() => this.raw(port, request).catch(() => false), 'net_floor', 10);
    return Object.assign(child, { port });
  }

  /** A file of whole requests for net_client. */
  requests(name, list) {
    const file = join(this.root, `requests-${name}`);
    writeFileSync(file, list.join('\0'));
    return file;
  }

  client(mode, port, requests, { isTls = true, more = [] } = {}) {
    const child = start('taskset', ['-c', otherCore, join(this.bin, 'net_client'), mode, '--port', String(port), '--requests', requests,
      ...(isTls ? ['--certificate', this.certificate] : []), ...more.map(String)]);
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    /** The next line it says; who says nothing for two minutes is ended. */
    child.said = async () => {
      const force = setTimeout(() => child.kill('SIGKILL'), 120_000);
      const { value, done } = await lines.next();
      clearTimeout(force);
      if (done) throw new Error(`net_client ${mode} ended early: ${JSON.stringify(await child.ended)}`);
      return JSON.parse(value);
    };
    return child;
  }

  /** Keep-alive requests for some seconds: CPU of the server for each, and how busy it was. */
  async hammer(server, port, requests, { isTls, seconds = 2, connections = 64, status = 200, inTurn = false } = {}) {
    const client = this.client('hammer', port, requests, { isTls, more: ['--seconds', seconds, '--connections', connections, '--status', status,
      ...(inTurn ? ['--in-turn'] : [])] });
    await client.said();
    const before = cpuOfThreads(server.pid);
    const result = await client.said();
    const cpu = cpuOfThreads(server.pid) - before;
    await client.ended;
    if (result.failed > 0) throw new Error(`${result.failed} requests failed`);
    return { rate: result.answers / result.seconds, cpu_us: cpu / result.answers * 1e6, server_cores: cpu / result.seconds,
      client_cores: result.cpu_seconds / result.seconds, p50_us: result.p50_us, p99_us: result.p99_us };
  }

  /** Connections with one request each; with `resumes` by clients who hold a ticket. */
  async handshakes(server, port, requests, count, { resumes = false } = {}) {
    const client = this.client('handshakes', port, requests, { more: ['--connections', count, '--in-flight', 64, ...(resumes ? ['--resume'] : [])] });
    await client.said();
    const before = cpuOfThreads(server.pid);
    const result = await client.said();
    await client.ended;
    if (result.failed > 0) throw new Error(`${result.failed} handshakes failed`);
    const cpu = cpuOfThreads(server.pid) - before;
    return { rate: result.answers / result.seconds, cpu_us: cpu / count * 1e6, server_cores: cpu / result.seconds };
  }

  /** Resident KiB for each of `count` idle connections after one request each and ten seconds. */
  async hold(server, port, requests, count) {
    const warm = this.client('hold', port, requests, { more: ['--connections', 8] });
    await warm.said();
    warm.stdin.end();
    await warm.ended;
    const [before, slab] = [residentOf(server.pid), slabBytes()];
    const client = this.client('hold', port, requests, { more: ['--connections', count, '--in-flight', 48] });
    const result = await client.said();
    if (result.failed > 0) throw new Error(`${result.failed} connections failed`);
    await new Promise((done) => setTimeout(done, 10_000));
    const kib = (residentOf(server.pid) - before) / 1024 / count;
    const kernel = (slabBytes() - slab) / 1024 / count;
    client.stdin.end();
    await client.ended;
    return { kib, kernel_kib_both_ends: kernel, baseline_kib: before / 1024 };
  }

  async parts(mode, args = []) {
    const text = await run('taskset', ['-c', mode === 'hash' ? '0,1' : serverCore, join(this.bin, 'net_parts'), ...args.slice(0, 2), mode, ...args.slice(2)].map(String));
    return JSON.parse(text);
  }

  /** The first bytes of an answer over TLS. */
  raw(port, request) {
    return new Promise((done, fail) => {
      const socket = tls.connect({ host: '127.0.0.1', port, ca: readFileSync(this.certificate), servername: 'localhost' }, () => socket.write(request));
      socket.once('data', (bytes) => {
        socket.destroy();
        done(bytes);
      }).once('error', fail);
    });
  }

  /** One JSON request over TLS. */
  call(port, method, path, body) {
    return new Promise((done, fail) => {
      const text = body === undefined ? '' : JSON.stringify(body);
      const request = https.request({ host: '127.0.0.1', port, method, path, ca: readFileSync(this.certificate), servername: 'localhost', agent: false,
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) } }, (answer) => {
        let got = '';
        answer.on('data', (part) => (got += part));
        answer.on('end', () => done({ status: answer.statusCode, json: got ? JSON.parse(got) : null }));
      });
      request.on('error', fail);
      request.end(text);
    });
  }
}

function slabBytes() {
  return Number(/^Slab:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'latin1'))[1]) * 1024;
}
