// Everything fails, one thing after the other, while clients work: no answer but success or 503 with
// Retry-After, nothing acknowledged is lost, nothing ended comes back, one account an address.
import assert from 'node:assert/strict';
import { rmSync, statfsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { Load } from './support/clients.mjs';
import { hogConnections, Installation } from './support/installation.mjs';
import { until } from '../blackbox/support/server.mjs';

const number = (name, otherwise) => Number(process.env[name] ?? otherwise);
const rounds = number('PAM_CHAOS_ROUNDS', 1);
const kills = number('PAM_CHAOS_KILLS', 3);
const signUps = number('PAM_CHAOS_SIGNUPS', 300);
const clients = number('PAM_CHAOS_CLIENTS', 12);
const sharers = number('PAM_CHAOS_SHARERS', 4);
const addresses = number('PAM_CHAOS_ADDRESSES', 40);
const disk = process.env.PAM_CHAOS_DISK;
const rest = (milliseconds) => new Promise((next) => setTimeout(next, milliseconds));

describe('under every fault', { timeout: 600_000 + rounds * 300_000 + signUps * 36 }, () => {
  let it;
  let load;
  const filler = disk && join(disk, 'filler');

  before(async () => {
    it = new Installation({ disk });
    await it.start(2);
    load = new Load(it.servers, { clients, sharers, addresses, signUps });
    load.start();
    await until(() => load.counts.ok > 50, 'the load to run', 60);
  });
  after(async () => {
    load.isOver = true;
    if (filler) rmSync(filler, { force: true });
    await it?.stop();
  });

  /** Waits until every server serves again; resolves with the milliseconds that took. */
  async function recovery(name) {
    const mended = performance.now();
    await until(() => it.servers.every((one) => (load.lastSuccess.get(one) ?? 0) > mended), `success after: ${name}`, 60);
    const took = Math.max(...it.servers.map((one) => load.lastSuccess.get(one))) - mended;
    await it.allReady();
    return took;
  }

  /** Breaks something, mends it, and waits until every server serves again: how long that took is said. */
  function fault(name, work) {
    test(name, async (t) => {
      for (let round = 0; round < rounds; ++round) {
        const before = { ...load.counts };
        await work(round);
        const took = await recovery(name);
        t.diagnostic(`serving again within ${Math.round(took)} ms; ${load.counts.ok - before.ok} answered, ` +
          `${load.counts.refused - before.refused} refused, ${load.counts.lost - before.lost} lost`);
        assert.equal(load.findings.toString(), '');
      }
    });
  }

  fault('PgBouncer PAUSE and RESUME', async () => {
    const paused = it.pooler.console('PAUSE');
    await rest(1500);
    await paused;
    await it.pooler.console('RESUME');
  });
  fault('PgBouncer RECONNECT', () => it.pooler.console('RECONNECT'));
  fault('PgBouncer killed and started', async () => {
    await it.pooler.end('SIGKILL');
    await rest(1000);
    await it.pooler.start();
  });
  fault('PgBouncer restarted', async () => {
    await it.pooler.end('SIGINT');
    await it.pooler.start();
  });
  fault('PostgreSQL fast restart', async () => {
    await it.cluster.do('stop', 1, 'fast');
    await it.cluster.do('run');
  });
  fault('PostgreSQL immediate restart', async () => {
    await it.cluster.do('stop', 1, 'immediate');
    await it.cluster.do('run');
  });
  fault('PostgreSQL killed and started', async () => {
    await it.cluster.do('crash');
    await rest(1000);
    await it.cluster.do('run');
  });
  fault('a storm of pg_terminate_backend', async () => {
    for (let i = 0; i < 10; ++i) {
      await it.cluster.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'pam_app'");
      await rest(50);
    }
  });
  fault('too many connections', async () => {
    const held = await hogConnections(it.cluster.socket(), 'pam_app', 'auth');
    // The pooler must connect again and finds no place.
    await it.cluster.sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE usename = 'pam_app' AND application_name <> ''`);
    await rest(1500);
    held.release();
  });
  if (disk) {
    fault('a full disk', async () => {
      const before = load.counts.refused;
      const file = await open(filler, 'w');
      const block = Buffer.alloc(1 << 20, 1);
      try {
        while (load.counts.refused < before + 20) {
          const free = statfsSync(disk);
          if (free.bavail * free.bsize > block.length) await file.write(block);
          else await file.write(Buffer.alloc(4096, 1)).catch(() => rest(20));
        }
      } finally {
        await file.close();
      }
      await rest(500);
      rmSync(filler);
      // A server whose log had no room has ended itself.
      await it.cluster.sql('SELECT 1').catch(() => it.cluster.do('stop', 1, 'immediate').catch(() => {}).then(() => it.cluster.do('run')));
    });
  }
  test('kill -9 of a server, again and again', async (t) => {
    for (let i = 0; i < kills * rounds; ++i) {
      const index = i % it.servers.length;
      await it.kill(index);
      await it.serve(index);
      const started = performance.now();
      await until(() => (load.lastSuccess.get(it.servers[index]) ?? 0) > started, 'the server to serve again', 30);
    }
    t.diagnostic(`${kills * rounds} kills`);
    assert.equal(load.findings.toString(), '');
  });
  test('kill -9 of server, pooler and database, in turn and at once, until there were enough sign-ups', async (t) => {
    const server = (index) => async () => {
      await it.kill(index);
      await it.serve(index);
    };
    const pooler = async () => {
      await it.pooler.end('SIGKILL');
      await it.pooler.start();
    };
    const database = async () => {
      await it.cluster.do('crash');
      await it.cluster.do('run');
    };
    const atOnce = async () => {
      await Promise.all([it.kill(0), it.pooler.end('SIGKILL'), it.cluster.do('crash')]);
      await it.cluster.do('run');
      await it.pooler.start();
      await it.serve(0);
    };
    const blows = [server(0), pooler, database, server(1), atOnce];
    const share = Math.ceil(signUps / 500);
    let count = 0;
    let longest = 0;
    while (count < blows.length || load.sharedAnswers < signUps) {
      await blows[count++ % blows.length]();
      longest = Math.max(longest, await recovery(`blow ${count}`));
      assert.equal(load.findings.toString(), '');
      const enough = load.sharedAnswers + share;
      await until(() => load.sharedAnswers >= enough, 'sign-ups between two blows', 60 + share * 0.05);
      if (count % 50 === 0) t.diagnostic(`${count} blows, ${load.sharedAnswers} sign-ups`);
    }
    t.diagnostic(`${count} blows, each followed by ${share} sign-ups; serving again within ${Math.round(longest)} ms at the most`);
  });
  test('clients and tables agree in the end', async (t) => {
    await load.finish();

    await load.reconcile(it.cluster);

    const sessions = load.owners.flatMap((one) => one.sessions);
    t.diagnostic(`${load.counts.ok} answered, ${load.counts.refused} refused, ${load.counts.lost} lost; ${load.owners.length} accounts, ` +
      `${sessions.length} sessions, ${load.sharedAnswers} sign-ups of ${load.addresses.length} shared addresses, ` +
      `${load.addresses.filter(({ owners }) => owners.size > 0).length} of them acknowledged`);
    assert.equal(load.findings.toString(), '');
    assert.ok(load.owners.filter((one) => one.isKnown).length >= clients);
  });
});
