// Clients whose refresh answers are lost, with auth-js's own retry schedule: nobody may be signed out.
//
// Many unpatched clients refresh at every tick of theirs (30 s) through a network that loses answers, while
// the server and the pooler are killed, the database is paused and the network goes away. The clients' clock
// runs PAM_LOST_SPEED times as fast and the server's windows are as much shorter, so that all proportions are
// the real ones. PAM_LOST_ANSWERS=10000 PAM_LOST_CLIENTS=250 PAM_LOST_TIMEOUT=3600 is the long run;
// PAM_LOST_SPEED=1 is real time. PAM_LOST_IN_A_ROW above 3 leaves what is promised whatever the pace: the
// identical successor is handed out again within 10 s always, but later only three times.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import * as newest from '@supabase/auth-js';
import * as older from 'auth-js-older';

import { quickStop, run, startServer, temporaryFolder } from '../blackbox/support/server.mjs';
import { startLossyProxy } from './support/lossy_proxy.mjs';
import { speedUp } from './support/scaled_clock.mjs';

const number = (name, otherwise) => Number(process.env[name] ?? otherwise);
const speed = number('PAM_LOST_SPEED', 10);
const wantedLosses = number('PAM_LOST_ANSWERS', 60);
const inARow = number('PAM_LOST_IN_A_ROW', 3);
const clientCount = number('PAM_LOST_CLIENTS', 12);
/** Waits seconds of the clients' time. */
const clientSeconds = (seconds) => sleep((seconds * 1000) / speed);
const windows = { PAM_TOKENS__REUSE_INTERVAL: `${10 / speed}s`, PAM_TOKENS__LOST_RESPONSE_WINDOW: `${300 / speed}s` };

async function freePort() {
  const probe = createServer();
  await new Promise((listening) => probe.listen(0, '127.0.0.1', listening));
  const { port } = probe.address();
  await new Promise((closed) => probe.close(closed));
  return port;
}

async function realUntil(condition, what, seconds) {
  for (const end = performance.now() + seconds * 1000; !await condition(); await sleep(20)) {
    if (performance.now() > end) throw new Error(`gave up waiting for ${typeof what === 'function' ? what() : what}`);
  }
}

/** A process and what descends from it. */
function familyOf(pid) {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  return [pid, ...children.flatMap(familyOf)];
}

describe('lost answers to refreshes', { timeout: number('PAM_LOST_TIMEOUT', 300) * 1000 }, () => {
  let database; // a development server: its PostgreSQL and PgBouncer are the installation's
  let server;
  let proxy;
  let restoreClock;
  const pooler = {};
  const clients = [];
  const signedOut = [];
  const said = { error: console.error, warn: console.warn };
  const toLose = new Map(); // client -> answers it still loses
  let phase = 'sign-up';

  async function serve() {
    const { port, internal_port, config } = server;
    server.process = run(['serve', '--config', config], { ...quickStop, ...windows, PAM_LISTEN__PORT: String(port),
      PAM_INTERNAL__PORT: String(internal_port), PAM_LOG__LEVEL: 'warn', PAM_TOKENS__ACCESS_LIFETIME: '180s' });
    await realUntil(async () => {
      try {
        return (await fetch(`http://127.0.0.1:${internal_port}/readyz`)).status === 200;
      } catch {
        return false;
      }
    }, `the server: ${server.process.output.all}`, 60);
  }

  before(async () => {
    database = await startServer({ env: quickStop });
    const folder = temporaryFolder();
    const state = dirname(database.certificate);
    server = { port: await freePort(), internal_port: await freePort(), config: join(folder, 'pam.toml') };
    const keys = join(folder, 'keys.json');
    assert.equal((await run(['keys', 'generate', keys]).exited).code, 0);
    writeFileSync(server.config, `[server]
profile = "compatible"
site_url = "https://auth.example"
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
[accounts]
auto_confirm = true
`);
    const [command, ...args] = readFileSync(`/proc/${database.pids.pgbouncer}/cmdline`, 'utf8').split('\0').filter(Boolean);
    Object.assign(pooler, { pid: database.pids.pgbouncer, command, args, ...idsOf(database.pids.pgbouncer) });
    await serve();
    proxy = await startLossyProxy({ target: { host: '127.0.0.1', port: server.port, ca: database.ca },
      loses(client) {
        const left = toLose.get(client) ?? 0;
        if (left > 0) toLose.set(client, left - 1);
        return left > 0;
      } });
    // Ahead of the server's clock, every access token looks ended: each tick refreshes, and a final answer
    // other than 200 signs out at once.
    restoreClock = speedUp(speed, 3_600_000);
    // The older client prints every failed fetch, and here they fail by the hundred.
    console.error = console.warn = () => {};
  });
  after(async () => {
    for (const { auth } of clients) await auth.stopAutoRefresh();
    Object.assign(console, said);
    restoreClock?.();
    proxy?.close();
    pooler.process?.kill('SIGKILL');
    server?.process?.child.kill('SIGTERM');
    await server?.process?.exited;
    await database?.stop();
  });

  function idsOf(pid) {
    const { uid, gid } = statSync(`/proc/${pid}`);
    return { uid, gid };
  }

  async function newClient(index) {
    const sdk = index % 2 === 0 ? newest : older;
    const name = `client-${index}`;
    const items = new Map();
    const auth = new sdk.AuthClient({ url: `${proxy.url}/auth/v1`, headers: { 'X-Client-Info': name }, storageKey: name,
      storage: { getItem: (key) => items.get(key) ?? null, setItem: (key, value) => void items.set(key, value), removeItem: (key) => void items.delete(key) },
      persistSession: true, autoRefreshToken: true, detectSessionInUrl: false });
    const client = { name, auth, refreshed: 0 };
    auth.onAuthStateChange((event) => {
      if (event === 'TOKEN_REFRESHED') client.refreshed += 1;
      if (event === 'SIGNED_OUT') signedOut.push({ name, phase, sdk: sdk === newest ? 'newest' : 'older' });
    });
    const { error } = await auth.signUp({ email: `${name}.${randomBytes(6).toString('hex')}@example.com`, password: `Vz9-${randomBytes(9).toString('base64url')}` });
    assert.equal(error, null);
    clients.push(client);
  }

  /** Everybody is served again: each client refreshed once more. */
  async function recover() {
    toLose.clear();
    const before = clients.map(({ refreshed }) => refreshed);
    await realUntil(() => clients.every(({ refreshed }, i) => refreshed > before[i]) || signedOut.length > 0, `refreshes after ${phase}`, 60 + 240 / speed);
    assert.deepEqual(signedOut, []);
  }
  const loseAnswers = (most) => {
    for (const { name } of clients) toLose.set(name, 1 + Math.floor(Math.random() * most));
  };
  const inFlight = () => realUntil(() => [...toLose.values()].some((left) => left === 0), 'a lost answer', 60 + 120 / speed);

  const outages = {
    async 'answers are lost'() {
      loseAnswers(inARow);
      await realUntil(() => [...toLose.values()].every((left) => left === 0) || signedOut.length > 0,
        () => `answers of ${clients.filter(({ name }) => toLose.get(name) > 0).map(({ name, refreshed }) => `${name} (${refreshed})`)}`, 60 + 300 / speed);
    },
    async 'the network is away for 60 s'() {
      loseAnswers(1);
      await inFlight();
      proxy.takeDown();
      await clientSeconds(60);
      proxy.bringUp();
    },
    async 'the server is killed'() {
      loseAnswers(1);
      await inFlight();
      server.process.child.kill('SIGKILL');
      await server.process.exited;
      await serve();
    },
    async 'the pooler is killed'() {
      loseAnswers(1);
      await inFlight();
      process.kill(pooler.pid, 'SIGKILL');
      await clientSeconds(5);
      pooler.process = spawn(pooler.command, pooler.args, { uid: pooler.uid, gid: pooler.gid, stdio: 'ignore', detached: false });
      pooler.pid = pooler.process.pid;
    },
    async 'the database is away for 20 s'() {
      loseAnswers(1);
      await inFlight();
      const family = familyOf(database.pids.postgres);
      for (const pid of family) process.kill(pid, 'SIGSTOP');
      await clientSeconds(20);
      for (const pid of family) process.kill(pid, 'SIGCONT');
    },
  };

  test(`sign nobody out: ${clientCount} clients, at least ${wantedLosses} lost answers`, async (t) => {
    for (let i = 0; i < clientCount; ++i) await newClient(i);

    let rounds = 0;
    for (; rounds === 0 || proxy.counts.lost < wantedLosses; ++rounds) {
      for (const [name, happen] of Object.entries(outages)) {
        phase = name;
        await happen();
        await recover();
      }
    }

    t.diagnostic(`${rounds} rounds, ${JSON.stringify(proxy.counts)}, ${signedOut.length} sign-outs`);
    assert.deepEqual(signedOut, []);
    assert.ok(proxy.counts.lost >= wantedLosses);
    for (const { auth, name } of clients) assert.notEqual((await auth.getSession()).data.session, null, name);
  });
});
