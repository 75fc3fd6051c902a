// Machine tokens, and what an administrator does with one.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { assertProblem, assertTokenResponse, call, getUser, newAccount, newSession, refresh, timestamp } from './support/client.mjs';
import { install } from './support/fleet.mjs';
import { until } from './support/server.mjs';

const logoutAll = (server, token) => call(server, 'POST', '/auth/v1/admin/logout_all', { token });
const now = () => Math.floor(Date.now() / 1000);
const good = () => ({ iss: 'https://auth.example/auth/v1', sub: 'tester', aud: 'authenticated', role: 'service_role',
  iat: now(), exp: now() + 600 });
const without = (claims, name) => Object.fromEntries(Object.entries(claims).filter(([key]) => key !== name));

describe('administration', { timeout: 180_000 }, () => {
  let installation;
  let first;
  let second;
  before(async () => {
    installation = await install();
    [first, second] = [await installation.serve(), await installation.serve()];
  });
  after(() => installation?.end());

  test('needs a token', async () => {
    assertProblem(await logoutAll(first), 401, 'no_authorization');
  });

  test('is never a user\'s, whatever role his token names', async () => {
    const account = await newAccount(first);
    const session = { ...good(), sub: account.user.id, session_id: '01939393-2222-7333-8444-666666666666' };

    assertProblem(await logoutAll(first, account.access_token), 403, 'not_admin');
    assertProblem(await logoutAll(first, installation.forge('user', { ...session, role: 'service_role' })), 403, 'not_admin');
    assert.equal((await getUser(first, account.access_token)).status, 200);
  });

  test('is not for every role of a machine', async () => {
    for (const role of ['authenticated', '', 'SERVICE_ROLE']) {
      assertProblem(await logoutAll(first, installation.forge('machine', { ...good(), role })), 403, 'not_admin');
    }
    assertProblem(await logoutAll(first, installation.forge('machine', without(good(), 'role'))), 403, 'not_admin');
  });

  test('takes no token that is expired, unbounded, from elsewhere or for somebody else', async () => {
    for (const claims of [{ ...good(), exp: now() - 1 }, without(good(), 'exp'), without(good(), 'aud'), without(good(), 'iss'),
      { ...good(), iss: 'https://other.example/auth/v1' }, { ...good(), aud: 'other' }, { ...good(), nbf: now() + 600 },
      { ...good(), exp: 'tomorrow' }]) {
      assertProblem(await logoutAll(first, installation.forge('machine', claims)), 403, 'bad_jwt');
    }
    for (const header of [{ alg: 'HS256' }, { alg: 'none' }, { kid: 'other' }, { typ: 'at+jwt' }, { crit: ['exp'] }, { jku: 'https://x' }]) {
      assertProblem(await logoutAll(first, installation.forge('machine', good(), header)), 403, 'bad_jwt');
    }
  });

  test('takes unbounded machine tokens where that is configured, and nothing else more', async () => {
    const lenient = await installation.serve({ PAM_ADMIN__ALLOW_UNBOUNDED: 'true' });
    const unbounded = without(without(good(), 'exp'), 'aud');
    const account = await newAccount(first);

    assert.equal((await logoutAll(lenient, installation.forge('machine', unbounded))).status, 200);
    assertProblem(await logoutAll(lenient, installation.forge('machine', { ...good(), exp: now() - 1 })), 403, 'bad_jwt');
    assertProblem(await logoutAll(lenient, installation.forge('machine', { ...good(), aud: 'other' })), 403, 'bad_jwt');
    assertProblem(await getUser(lenient, installation.forge('user',
      { ...unbounded, sub: account.user.id, session_id: '01939393-2222-7333-8444-666666666666' })), 403, 'bad_jwt');
  });

  test('ends everybody\'s sessions in every process within a second, for good', async () => {
    const accounts = [await newAccount(first), await newAccount(second)];
    for (const each of accounts) assert.equal((await getUser(second, each.access_token)).status, 200);

    const done = await logoutAll(first, await installation.machineToken());

    assert.equal(done.status, 200, done.text);
    assert.match(done.json.tokens_valid_after, timestamp);
    assert.match(done.headers['cache-control'], /no-store/);
    // Whoever knows of the cut refuses at once; nobody's knowledge is older than a second.
    const acknowledged = performance.now();
    for (const each of accounts) assertProblem(await getUser(first, each.access_token), 403, 'session_not_found');
    await until(() => performance.now() - acknowledged > 1000, 'a second to pass');
    for (const each of accounts) {
      assertProblem(await getUser(second, each.access_token), 403, 'session_not_found');
      assertProblem(await refresh(second, each.refresh_token), 400, 'session_not_found');
    }

    const again = await newSession(second, accounts[0]);
    assert.equal((await getUser(first, again.access_token)).status, 200);
    const restarted = await installation.serve();
    assertProblem(await refresh(restarted, accounts[1].refresh_token), 400, 'session_not_found');
    assertTokenResponse(await refresh(restarted, again.refresh_token));
    assert.match(first.output.all, /"administered".*"tester"|"actor":"tester"/);
    const everybodys = await call(first, 'GET',
      '/auth/v1/admin/audit?account_id=00000000-0000-0000-0000-000000000000&kind=everybody_signed_out&limit=1',
      { token: await installation.machineToken() });
    assert.equal(everybodys.json.events[0].actor, 'tester');
    assert.equal(everybodys.json.events[0].occurred_at, done.json.tokens_valid_after);
  });

  test('reads the audit log in pages, and nobody else does', async () => {
    const token = await installation.machineToken();
    const account = await newAccount(first);
    for (let i = 0; i < 4; ++i) await newSession(first, account);
    const audit = (query, bearer = token) => call(second, 'GET', `/auth/v1/admin/audit?account_id=${account.user.id}${query}`, { token: bearer });

    const kinds = [];
    let cursor = '';
    do {
      const page = await audit(`&limit=2${cursor && `&cursor=${cursor}`}`);
      assert.equal(page.status, 200, page.text);
      for (const event of page.json.events) {
        assert.equal(event.account_id, account.user.id);
        assert.match(event.occurred_at, timestamp);
        kinds.push(event.kind);
      }
      assert.equal(page.json.pagination.has_more, 'next_cursor' in page.json.pagination);
      cursor = page.json.pagination.next_cursor;
    } while (cursor);

    assert.deepEqual(kinds, ['sign_in', 'sign_in', 'sign_in', 'sign_in', 'sign_up']);
    assert.equal((await audit('&kind=sign_up')).json.events.length, 1);
    assert.equal((await audit('&success=false')).json.events.length, 0);
    const everybodys = await call(first, 'GET', '/auth/v1/admin/audit?kind=sign_up&limit=1', { token });
    assert.equal(everybodys.json.events[0].account_id, account.user.id);
    for (const wrong of ['&limit=0', '&limit=1001', '&cursor=x', '&after=soon', '&success=maybe', '&kind=Sign%00In']) {
      assertProblem(await audit(wrong), 400, 'validation_failed');
    }
    assertProblem(await call(first, 'GET', '/auth/v1/admin/audit?account_id=7', { token }), 400, 'validation_failed');
    assertProblem(await audit('', account.access_token), 403, 'not_admin');
    assertProblem(await audit('', null), 401, 'no_authorization');
  });

  test('reads reports, as old as maintenance lets them become', async () => {
    const token = await installation.machineToken();
    await newAccount(first);
    await installation.sql('REFRESH MATERIALIZED VIEW report_daily_sign_ups; REFRESH MATERIALIZED VIEW report_active');
    const report = (name, bearer = token) => call(first, 'GET', `/auth/v1/admin/reports/${name}`, { token: bearer });

    const signUps = await report('daily_sign_ups');
    assert.equal(signUps.status, 200, signUps.text);
    assert.ok(signUps.json.rows[0].sign_ups >= 1);
    assert.deepEqual((await report('active')).json.rows.map((row) => row.days), [30, 7, 1]);
    assert.deepEqual((await report('active?limit=1')).json.pagination, { next_cursor: '30', has_more: true });
    assert.deepEqual((await report('active?limit=2&cursor=30')).json.rows.map((row) => row.days), [7, 1]);
    for (const wrong of ['active?cursor=x', 'active?limit=0', 'daily_sign_ups?cursor=2026-13-01', 'daily_events?cursor=2026-11-25|a',
      'daily_sessions?cursor=2026-11-25|7']) {
      assertProblem(await report(wrong), 400, 'validation_failed');
    }
    assertProblem(await report('secrets'), 404, 'not_found');
    assertProblem(await report('active', (await newAccount(first)).access_token), 403, 'not_admin');
  });

  test('that ends one account\'s tokens, bans or deletes it counts at the next request, everywhere', async () => {
    for (const [change, code, onRefresh] of [
      ["tokens_valid_after = clock_timestamp() + interval '1 second'", 'session_not_found', 'session_not_found'],
      ["banned_until = clock_timestamp() + interval '1 day'", 'user_banned', 'user_banned'],
      ['deleted_at = clock_timestamp()', 'user_not_found', 'session_not_found'],
    ]) {
      const account = await newAccount(first);
      await installation.sql(`UPDATE accounts SET ${change} WHERE id = '${account.user.id}'`);

      for (const server of [first, second]) {
        assertProblem(await getUser(server, account.access_token), 403, code);
        assertProblem(await refresh(server, account.refresh_token), 400, onRefresh);
      }
    }
  });
});
