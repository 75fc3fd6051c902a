// One version follows another without a lost request: listeners handed over at the control socket or passed by
// a service manager.
//
// PAM_TEST_REPLACE_REQUESTS  requests in the replacement under load (default 3,000; the target counts 100,000)
import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import https from 'node:https';
import net from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { spawn } from 'node:child_process';

import { assertTokenResponse, call, callInternal, forget, getUser, newAccount, refresh } from './support/client.mjs';
import { install } from './support/installation.mjs';
import { run, until } from './support/server.mjs';

const wantedRequests = Number(process.env.PAM_TEST_REPLACE_REQUESTS ?? 3000);
const replacements = 10;

describe('a version that replaces another', { timeout: 900_000 }, () => {
  let site;
  before(async () => (site = await install({ toml: { server: ['shards = 2'], limits: ['keep_alive = "2s"'] } })));
  after(async () => site?.stop());

  test('under load loses nothing, ten times', async () => {
    let current = await site.serve();
    const failures = [];
    const counts = { kept: 0, fresh: 0 };
    let isOver = false;
    const judge = async (kind, what, work) => {
      try {
        await work();
      } catch (failure) {
        failures.push(`${kind} ${what}: ${failure.code ?? ''} ${failure.message}`);
      }
      ++counts[kind];
    };
    // Kept connections: each session has a connection pool of its own, and its token must always rotate.
    const kept = async () => {
      const self = { ...site };
      const account = await newAccount(self);
      let { access_token, refresh_token } = account;
      while (!isOver) {
        await judge('kept', 'refresh', async () => {
          const answer = await refresh(self, refresh_token);
          assertTokenResponse(answer);
          assert.notEqual(answer.json.refresh_token, refresh_token);
          ({ access_token, refresh_token } = answer.json);
        });
        await judge('kept', 'user', async () => {
          const answer = await getUser(self, access_token);
          assert.equal(answer.status, 200, answer.text);
          assert.equal(answer.json.id, account.user.id);
        });
      }
      forget(self);
    };
    // A new connection for each request: what waits in a listener's queue when it changes hands.
    const fresh = async () => {
      while (!isOver) {
        await judge('fresh', 'health', () => new Promise((done, fail) => {
          https.get({ host: site.host, port: site.port, ca: site.ca, servername: 'localhost', agent: false, path: '/health' },
            (answer) => (answer.resume(), answer.on('error', fail),
            answer.on('end', () => (answer.statusCode === 200 ? done() : fail(new Error(`status ${answer.statusCode}`))))))
            .on('error', fail);
        }));
      }
    };
    const done = () => counts.kept + counts.fresh;
    const load = [...Array.from({ length: 6 }, kept), ...Array.from({ length: 4 }, fresh)];

    try {
      for (let i = 1; i <= replacements; ++i) {
        await until(() => done() >= (wantedRequests * i) / (replacements + 1), 'requests', 600);
        const next = await site.serve({ args: ['--take-over'] });
        await until(() => current.output.all.includes('"event":"handed_over"'), 'the hand-over');
        assert.deepEqual(await current.exited, { code: 0, signal: null });
        current = next;
      }
      await until(() => done() >= wantedRequests, 'requests', 600);
    } finally {
      isOver = true;
      await Promise.all(load);
    }

    assert.deepEqual(failures.slice(0, 5), []);
    assert.equal(failures.length, 0);
    assert.ok(counts.kept > 100 && counts.fresh > 100, JSON.stringify(counts));
    console.log(`# ${replacements} replacements, ${done()} requests (${counts.fresh} on new connections), ${failures.length} failed`);
    assert.equal((await callInternal(site, '/readyz')).status, 200);
    await current.stop();
  });

  test('with other shards serves every listener', async () => {
    const first = await site.serve({ env: { PAM_SERVER__SHARDS: '3' } });
    const second = await site.serve({ args: ['--take-over'], env: { PAM_SERVER__SHARDS: '1' } });
    await first.exited;
    const fresh = () => call({ ...site }, 'GET', '/health', { headers: { connection: 'close' } });
    for (let i = 0; i < 20; ++i) assert.equal((await fresh()).status, 200);

    const third = await site.serve({ args: ['--take-over'], env: { PAM_SERVER__SHARDS: '4' } });
    await second.exited;

    for (let i = 0; i < 20; ++i) assert.equal((await fresh()).status, 200);
    await third.stop();
  });

  test('without a database ends and leaves the other serving', async () => {
    const current = await site.serve();
    const failing = run(['serve', '--config', site.config, '--take-over'],
      { PAM_DATABASE__HOSTS: `${join(site.folder, 'nowhere')}:5432` });

    assert.equal((await failing.exited).code, 1, failing.output.all);

    assert.match(failing.output.all, /no database/);
    await until(() => current.output.all.includes('take_over_refused'), 'the refusal in the log');
    assert.equal((await call(site, 'GET', '/health')).status, 200);
    assert.equal(await site.isReady(), true);
    assert.equal(statSync(site.control).mode & 0o777, 0o600);
    forget(site);
    await current.stop();
    assert.equal(existsSync(site.control), false);
  });

  test('asks to be told that it replaces one', async () => {
    const current = await site.serve();
    const second = run(['serve', '--config', site.config]);

    assert.equal((await second.exited).code, 1);

    assert.match(second.output.err, /--take-over/);
    await current.stop();
  });
});

describe('a service manager', { timeout: 300_000 }, () => {
  let site;
  before(async () => (site = await install({ toml: { server: ['shards = 2'] } })));
  after(async () => site?.stop());

  const listening = () => new Promise((done) => {
    const socket = net.createServer();
    socket.listen(0, '127.0.0.1', () => done(socket));
  });

  test('may pass the listening sockets', async () => {
    const [open, internal] = [await listening(), await listening()];
    const server = await site.serve({ descriptors: [open._handle.fd, internal._handle.fd],
      through: ['/bin/sh', '-c', 'LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=public:internal exec "$0" "$@"'] });
    const here = { ...site, port: open.address().port, internal_port: internal.address().port };
    // Only the server may accept from them.
    open._handle.close();
    internal._handle.close();

    for (let i = 0; i < 10; ++i) {
      assert.equal((await call({ ...here }, 'GET', '/health', { headers: { connection: 'close' } })).status, 200);
    }
    assert.equal((await callInternal(here, '/readyz')).status, 200);
    await server.stop();
  });

  test('learns of readiness, reloads, life and the end', async () => {
    const path = join(site.folder, 'notify');
    // Node has no Unix datagrams; Perl is part of every Debian.
    const manager = spawn('perl', ['-MSocket', '-e', `socket(S, PF_UNIX, SOCK_DGRAM, 0) && bind(S, sockaddr_un(shift)) or die;
      $| = 1; print "listening\\n"; while (recv(S, $m, 4096, 0), defined $m) { $m =~ s/\\n/ /g; print "$m\\n" }`, path]);
    let told = '';
    manager.stdout.on('data', (bytes) => (told += bytes));
    try {
      await until(() => told.includes('listening'), 'the manager');
      const server = await site.serve({ env: { NOTIFY_SOCKET: path, WATCHDOG_USEC: '200000' } });

      await until(() => told.includes(`READY=1 MAINPID=${server.pid} STATUS=serving on port ${site.port}`), 'READY=1');
      await until(() => told.split('WATCHDOG=1').length > 3, 'signs of life');
      server.kill('SIGHUP');
      await until(() => /RELOADING=1 MONOTONIC_USEC=\d+\n(WATCHDOG=1\n)*READY=1 /.test(told), 'the reload');
      await server.stop();
      await until(() => /STOPPING=1 EXTEND_TIMEOUT_USEC=30000000 /.test(told), 'STOPPING=1');
    } finally {
      manager.kill();
    }
  });
});
