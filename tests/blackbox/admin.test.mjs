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
