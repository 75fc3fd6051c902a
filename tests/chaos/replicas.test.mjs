// Session lists from a standby, over HTTPS: whatever one server did, another never shows less or more.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { call, claimsOf, metric, newAccount, newSession } from '../blackbox/support/client.mjs';
import { until } from '../blackbox/support/server.mjs';
import { Installation } from './support/installation.mjs';

const rounds = Number(process.env.PAM_CHAOS_LISTS ?? 150);
const idOf = (session) => claimsOf(session.access_token).session_id;

describe('session lists of two servers with a standby', { timeout: 300_000 + rounds * 200 }, () => {
  let it;
  before(async () => {
    it = new Installation();
    await it.start(2, { standby: true });
    await until(async () => (await Promise.all(it.servers.map((one) => metric(one, 'pam_db_replicas_admitted')))).every((n) => n === 1),
      'the standby to be in use');
  });
  after(() => it?.stop());

  /** A session begins and ends at one server; the other one lists. Resolves with the number of wrong lists. */
  async function round(account, turn) {
    const [here, there] = [it.servers[turn % 2], it.servers[(turn + 1) % 2]];
    const listed = async () => {
      const answer = await call(there, 'GET', '/auth/v1/sessions', { token: account.access_token });
      assert.equal(answer.status, 200, answer.text);
      return JSON.stringify(answer.json);
    };
    const session = await newSession(here, account);
    const isThere = (await listed()).includes(idOf(session));
    const ended = await call(here, 'DELETE', `/auth/v1/sessions/${idOf(session)}`, { token: account.access_token });
    assert.equal(ended.status, 204, ended.text);
    const isGone = !(await listed()).includes(idOf(session));
    return (isThere ? 0 : 1) + (isGone ? 0 : 1);
  }
  async function wrongLists(count) {
    let wrong = 0;
    await Promise.all(Array.from({ length: 6 }, async (_, worker) => {
      // A new account every ten rounds: one account takes a burst of 20 sign-ins.
      let account;
      for (let i = worker, turn = 0; i < count; i += 6, ++turn) {
        if (turn % 10 === 0) account = await newAccount(it.servers[worker % 2]);
        wrong += await round(account, i);
      }
    }));
    return wrong;
  }
  const reads = async (name) => (await Promise.all(it.servers.map((one) => metric(one, name)))).reduce((a, b) => a + b);

  test('are never stale, and mostly the standby answers', async (t) => {
    assert.equal(await wrongLists(rounds), 0);

    const [standby, primary] = [await reads('pam_db_replica_reads_total'), await reads('pam_db_replica_fallbacks_total')];
    t.diagnostic(`${standby} lists by the standby, ${primary} by the primary`);
    assert.ok(standby > primary, `${standby} by the standby, ${primary} by the primary`);
  });

  test('are right without it, and while it stands still', async () => {
    await it.cluster.sql('SELECT pg_wal_replay_pause()', { node: 2 });
    assert.equal(await wrongLists(rounds / 3), 0);
    await it.cluster.do('crash', 2);
    assert.equal(await wrongLists(rounds / 3), 0);
  });
});
