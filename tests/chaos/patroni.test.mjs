// An automated failover under load: the primary and its Patroni are killed, the synchronous standby takes over, and
// nothing that was acknowledged is lost. Needs Debian's patroni and etcd-server: ./dev test --only patroni.
//   PAM_PATRONI_ROUNDS=N   failovers (default 3, half a minute each)
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Load } from './support/clients.mjs';
import { Installation } from './support/installation.mjs';
import { Patroni } from './support/patroni.mjs';
import { until } from '../blackbox/support/server.mjs';

const rounds = Number(process.env.PAM_PATRONI_ROUNDS ?? 3);
const servingLimit = Number(process.env.PAM_TEST_SERVING_WITHIN_MS ?? 3000);

/** What a refresh token says of itself: see server/crypto/refresh_token.hpp. */
function contentOf(token) {
  const bytes = Buffer.from(token.slice('pamr1_'.length), 'base64url');
  const hex = bytes.subarray(20, 36).toString('hex');
  return { session: hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'), generation: bytes.readUInt32BE(36) };
}

describe('a failover by Patroni', { timeout: 300_000 + rounds * 180_000 }, () => {
  let it;
  let load;
  let patroni;
  before(async () => {
    it = new Installation();
    patroni = new Patroni(it.folder);
    await patroni.start();
    await patroni.sql('CREATE DATABASE auth');
    const leader = await patroni.leader();
    it.cluster = { sql: (text) => patroni.sql(text, { database: 'auth' }), do: () => patroni.stop() };
    await it.startOn(2, { hosts: patroni.nodes.map(({ port }) => `127.0.0.1:${port}`), database: 'auth',
      direct: { host: '127.0.0.1', port: leader.port } });
    load = new Load(it.servers, { clients: 12, sharers: 2, addresses: 20 });
    load.start();
    await until(() => load.counts.ok > 100, 'the load to run', 60);
  });
  after(async () => {
    if (load) load.isOver = true;
    await it?.stop();
  });

  /** Sessions whose last acknowledged rotation the database does not know. */
  async function lostRotations() {
    const promised = load.owners.flatMap(({ sessions }) => sessions).filter(({ state }) => state === 'live')
      .map(({ token }) => contentOf(token));
    const rows = new Map((await it.cluster.sql('SELECT id, generation FROM sessions')).map(([id, at]) => [id, Number(at)]));
    return promised.filter(({ session, generation }) => !(rows.get(session) >= generation));
  }

  for (let round = 1; round <= rounds; ++round) {
    test(`loses nothing, and its servers serve again soon (${round})`, async (t) => {
      await patroni.untilSynchronous();
      await it.allReady();
      const answered = load.counts.ok;
      await until(() => load.counts.ok > answered + 200, 'the load to work', 60);
      const before = { ...load.counts };
      const killed = Date.now();

      const old = await patroni.killLeader();

      const next = patroni.nodes.find((node) => node !== old);
      await until(() => (patroni.promotedAt(next) ?? 0) > killed, 'the standby to be promoted', 90);
      const promoted = patroni.promotedAt(next);
      const since = (server) => performance.timeOrigin + (load.lastSuccess.get(server) ?? 0) - promoted;
      await until(() => it.servers.every((server) => since(server) > 0), 'every server to serve again', 60);
      const took = Math.max(...it.servers.map(since));
      const during = { ok: load.counts.ok - before.ok, refused: load.counts.refused - before.refused, lost: load.counts.lost - before.lost };
      await it.allReady();
      assert.deepEqual(await lostRotations(), []);
      t.diagnostic(`promoted ${promoted - killed} ms after the kill, serving within ${Math.round(took)} ms of that; ${before.ok} ` +
        `acknowledged before; meanwhile ${during.ok} answered, ${during.refused} refused, ${during.lost} lost`);
      assert.ok(took <= servingLimit, `serving took ${took} ms`);
      assert.equal(load.findings.toString(), '');
      patroni.run(old);
    });
  }

  test('clients and tables agree in the end', async (t) => {
    await patroni.untilSynchronous();
    await load.finish();
    assert.deepEqual(await lostRotations(), []);

    await load.reconcile(it.cluster);

    t.diagnostic(`${load.counts.ok} acknowledged, ${load.counts.refused} refused, ${load.counts.lost} lost; ` +
      `${load.owners.length} accounts, ${load.owners.flatMap((one) => one.sessions).length} sessions`);
    assert.equal(load.findings.toString(), '');
  });
});
