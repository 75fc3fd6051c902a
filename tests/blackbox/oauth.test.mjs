// POST /oauth2/introspect (RFC 7662) and POST /oauth2/revoke (RFC 7009), section by section.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { assertProblem, assertTokenResponse, call, claimsOf, getUser, logOut, newAccount, newSession, refresh } from './support/client.mjs';
import { command, install } from './support/fleet.mjs';

const basic = (id, secret) => `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString('base64')}`;
const formType = 'application/x-www-form-urlencoded';

/** The answer is an error of RFC 6749 section 5.2, no more and no less. */
function assertOauthError(answer, status, error) {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers['content-type'], /^application\/json/);
  assert.match(answer.headers['cache-control'], /no-store/);
  assert.deepEqual(Object.keys(answer.json), ['error', 'error_description']);
  assert.equal(answer.json.error, error);
}

function assertInactive(answer) {
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.text, '{"active":false}');
  assert.match(answer.headers['cache-control'], /no-store/);
}

describe('the OAuth 2.0 endpoints', { timeout: 180_000 }, () => {
  let installation;
  let server;
  let other;
  let credentials;
  let machine;

  const post = (path, body, headers = {}, to = server) => call(to, 'POST', path, {
    body: typeof body === 'string' ? body : new URLSearchParams(body).toString(),
    headers: { 'content-type': formType, authorization: credentials, ...headers } });
  const introspect = (token, headers, to) => post('/oauth2/introspect', { token }, headers, to);
  const revoke = (token, headers, to) => post('/oauth2/revoke', { token }, headers, to);

  before(async () => {
    const made = await command(['client', 'gateway-1']);
    assert.equal(made.code, 0, made.all);
    const entry = /"(gateway-1:sha256:[0-9a-f]{64})"/.exec(made.err)[1];
    assert.ok(!entry.includes(made.out.trim()), 'the entry does not hold the secret');
    credentials = basic('gateway-1', made.out.trim());
    installation = await install({ extra: `[oauth]\nclients = ["${entry}"]` });
    [server, other] = [await installation.serve(), await installation.serve()];
    machine = `Bearer ${await installation.machineToken()}`;
  });
  after(() => installation?.end());

  for (const path of ['/oauth2/introspect', '/oauth2/revoke']) {
    describe(`${path}, RFC 7662 section 2.1 and RFC 7009 section 2.1`, () => {
      test('asks its callers to authenticate', async () => {
        const account = await newAccount(server);
        for (const authorization of [undefined, '', 'Basic', 'Basic x', basic('gateway-1', 'wrong'), basic('nobody', 'wrong'),
          basic('', ''), basic('gateway-1', ''), 'Digest x']) {
          const headers = authorization === undefined ? {} : { authorization };
          const answer = await call(server, 'POST', path, { body: `token=${account.access_token}`,
            headers: { 'content-type': formType, ...headers } });
          assertOauthError(answer, 401, 'invalid_client');
          assert.match(answer.headers['www-authenticate'], /^Basic realm=/);
        }
        assert.equal((await getUser(server, account.access_token)).status, 200, 'nothing was revoked');
      });

      test('takes a machine token, and no user\'s', async () => {
        const account = await newAccount(server);
        assert.equal((await post(path, { token: 'x' }, { authorization: machine })).status, 200);

        const asUser = await post(path, { token: 'x' }, { authorization: `Bearer ${account.access_token}` });
        assertOauthError(asUser, 403, 'insufficient_scope');
        assert.match(asUser.headers['www-authenticate'], /^Bearer error="insufficient_scope"/);
        const broken = await post(path, { token: 'x' }, { authorization: 'Bearer a.b.c' });
        assertOauthError(broken, 401, 'invalid_token');
        assert.match(broken.headers['www-authenticate'], /^Bearer error="invalid_token"/);
      });

      test('takes a form with one token and nothing else for it', async () => {
        for (const body of ['', 'token=', 'token_type_hint=access_token', 'token=a&token=b', 'token=%zz', 'token=a%00b', 'token=%ff',
          'token', '{"token":"x"}']) {
          assertOauthError(await post(path, body), 400, 'invalid_request');
        }
        for (const type of ['application/json', 'text/plain', `${formType}x`, '']) {
          assertOauthError(await post(path, { token: 'x' }, { 'content-type': type }), 400, 'invalid_request');
        }
        for (const type of [`${formType};charset=UTF-8`, formType.toUpperCase()]) {
          assert.equal((await post(path, { token: 'x' }, { 'content-type': type })).status, 200);
        }
      });

      test('does not read a token from the query', async () => {
        assertOauthError(await post(`${path}?token=x`, ''), 400, 'invalid_request');
      });

      test('ignores hints and parameters it does not know', async () => {
        for (const more of [{ token_type_hint: 'refresh_token' }, { token_type_hint: 'nonsense' }, { resource: 'x' }]) {
          assert.equal((await post(path, { token: 'x', ...more })).status, 200);
        }
      });

      test('answers POST only, at the root only, in its own words', async () => {
        const get = await call(server, 'GET', path, { headers: { authorization: credentials } });
        assertOauthError(get, 405, 'invalid_request');
        assert.match(get.headers.allow, /POST/);
        assertProblem(await call(server, 'POST', `/auth/v1${path}`, { headers: { authorization: credentials } }), 404, 'not_found');
        assertOauthError(await post(path, `token=${'x'.repeat(70_000)}`), 413, 'invalid_request');
      });
    });
  }

  describe('introspection, RFC 7662 section 2.2', () => {
    test('tells of a live access token what a resource server needs', async () => {
      const account = await newAccount(server);
      const claims = claimsOf(account.access_token);

      const answer = await introspect(account.access_token, {}, other);

      assert.equal(answer.status, 200, answer.text);
      assert.match(answer.headers['content-type'], /^application\/json/);
      assert.match(answer.headers['cache-control'], /no-store/);
      assert.deepEqual(answer.json, { active: true, token_type: 'Bearer', iss: claims.iss, sub: account.user.id, aud: 'authenticated',
        exp: claims.exp, iat: claims.iat, username: account.email, role: 'authenticated', aal: 'aal1',
        session_id: claims.session_id, is_anonymous: false });
    });

    test('tells of a session\'s current refresh token, and not of older ones', async () => {
      const account = await newAccount(server);
      const next = (await refresh(server, account.refresh_token)).json;

      const answer = await introspect(next.refresh_token);

      assert.equal(answer.status, 200, answer.text);
      const { exp, ...members } = answer.json;
      assert.deepEqual(members, { active: true, iss: 'https://auth.example/auth/v1', sub: account.user.id, aud: 'authenticated',
        session_id: claimsOf(next.access_token).session_id });
      assert.ok(exp > Date.now() / 1000 + 29 * 86_400);
      assertInactive(await introspect(account.refresh_token));
      assertTokenResponse(await refresh(server, next.refresh_token));
    });

    test('says nothing of any other token', async () => {
      const account = await newAccount(server);
      const forged = Buffer.from(account.refresh_token.slice(6), 'base64url');
      forged[60] ^= 1;
      for (const token of ['x', 'a.b.c', `${account.access_token}x`, `pamr1_${forged.toString('base64url')}`, `pamr1_${'A'.repeat(96)}`,
        machine.slice(7), installation.forge('user', { ...claimsOf(account.access_token), exp: 1_700_000_000 }),
        installation.forge('user', { ...claimsOf(account.access_token), session_id: '01939393-2222-7333-8444-666666666666' })]) {
        assertInactive(await introspect(token));
      }
    });

    test('follows a sign-out, a ban and a deletion at once, in every process', async () => {
      const out = await newAccount(server);
      await logOut(server, out.access_token);
      const banned = await newAccount(server);
      await installation.sql(`UPDATE accounts SET banned_until = now() + interval '1 day' WHERE id = '${banned.user.id}'`);
      const deleted = await newAccount(server);
      await installation.sql(`UPDATE accounts SET deleted_at = now() WHERE id = '${deleted.user.id}'`);

      for (const each of [out, banned, deleted]) {
        assertInactive(await introspect(each.access_token, {}, other));
        assertInactive(await introspect(each.refresh_token, {}, other));
      }
    });
  });

  describe('revocation, RFC 7009 section 2.2', () => {
    test('of a refresh token ends its session and no other', async () => {
      const account = await newAccount(server);
      const spared = await newSession(server, account);

      const answer = await revoke(account.refresh_token);

      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.text, '');
      assertProblem(await refresh(other, account.refresh_token), 400, 'session_not_found');
      assertProblem(await getUser(other, account.access_token), 403, 'session_not_found');
      assertTokenResponse(await refresh(other, spared.refresh_token));
    });

    test('of an older refresh token ends the session as well', async () => {
      const account = await newAccount(server);
      const next = (await refresh(server, account.refresh_token)).json;

      assert.equal((await revoke(account.refresh_token)).status, 200);

      assertProblem(await refresh(server, next.refresh_token), 400, 'session_not_found');
    });

    test('of an access token ends its session', async () => {
      const account = await newAccount(server);

      assert.equal((await revoke(account.access_token)).status, 200);

      assertProblem(await getUser(server, account.access_token), 403, 'session_not_found');
      assertProblem(await refresh(server, account.refresh_token), 400, 'session_not_found');
      assert.equal(await installation.sql(`SELECT revoke_reason FROM sessions WHERE account_id = '${account.user.id}'`), '5');
    });

    test('of an unknown, forged, expired or ended token is a success that does nothing', async () => {
      const account = await newAccount(server);
      const forged = Buffer.from(account.refresh_token.slice(6), 'base64url');
      forged[45] ^= 1;
      const gone = await newAccount(server);
      await logOut(server, gone.access_token);

      for (const token of ['x', `pamr1_${forged.toString('base64url')}`, gone.refresh_token, gone.access_token,
        installation.forge('user', { ...claimsOf(account.access_token), exp: 1_700_000_000 })]) {
        const answer = await revoke(token);
        assert.equal(answer.status, 200, answer.text);
        assert.equal(answer.text, '');
      }
      assertTokenResponse(await refresh(server, account.refresh_token));
    });
  });
});
