// Refreshing, its theft rules, logging out, and listing and ending sessions.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { assertProblem, assertTokenResponse, call, claimsOf, forget, getUser, logOut, metric, newAccount, newSession,
  refresh, timestamp, uuid } from './support/client.mjs';
import { quickStop, startServer, until } from './support/server.mjs';

const bytesOf = (refreshToken) => Buffer.from(refreshToken.slice('pamr1_'.length), 'base64url');
const textOf = (bytes) => `pamr1_${bytes.toString('base64url')}`;
/** version 1, key id 3, account 16, session 16, then the generation. */
const generationOf = (refreshToken) => bytesOf(refreshToken).readUInt32BE(36);

/** Refreshes `count` times in a row; all tokens seen, the oldest first. */
async function rotate(server, refreshToken, count) {
  const tokens = [refreshToken];
  for (let i = 0; i < count; ++i) {
    const answer = await refresh(server, tokens.at(-1));
    assertTokenResponse(answer);
    tokens.push(answer.json.refresh_token);
  }
  return tokens;
}

const endOfSession = ['refresh_token_already_used', 'refresh_token_not_found', 'session_not_found', 'session_expired'];

describe('sessions', { timeout: 180_000 }, () => {
  let server;
  before(async () => (server = await startServer({ env: quickStop })));
  after(async () => {
    forget(server);
    await server?.stop();
  });

  describe('refresh', () => {
    test('answers the next token of the same session', async () => {
      const account = await newAccount(server);

      const answer = await refresh(server, account.refresh_token);

      assertTokenResponse(answer);
      assert.notEqual(answer.json.refresh_token, account.refresh_token);
      assert.equal(generationOf(answer.json.refresh_token), generationOf(account.refresh_token) + 1);
      assert.equal(claimsOf(answer.json.access_token).session_id, claimsOf(account.access_token).session_id);
      assert.equal((await getUser(server, answer.json.access_token)).status, 200);
    });

    test('of one token fifty times at once rotates once and gives everybody the same successor', async () => {
      const account = await newAccount(server);

      const answers = await Promise.all(Array.from({ length: 50 }, () => refresh(server, account.refresh_token)));

      for (const answer of answers) assertTokenResponse(answer);
      const successors = new Set(answers.map(({ json }) => json.refresh_token));
      assert.equal(successors.size, 1);
      assert.equal(generationOf([...successors][0]), generationOf(account.refresh_token) + 1);
      assertTokenResponse(await refresh(server, [...successors][0]));
    });

    test('repeated after a lost response gives the identical successor', async () => {
      const account = await newAccount(server);
      const [, lost] = await rotate(server, account.refresh_token, 1);

      const again = await refresh(server, account.refresh_token);

      assertTokenResponse(again);
      assert.equal(again.json.refresh_token, lost);
    });

    test('with an old generation is theft: the session ends for the thief and the owner', async () => {
      const account = await newAccount(server);
      const tokens = await rotate(server, account.refresh_token, 4);

      const thief = await refresh(server, tokens[0]);
      const owner = await refresh(server, tokens.at(-1));

      assertProblem(thief, 400, endOfSession);
      assertProblem(owner, 400, endOfSession);
      assertProblem(await getUser(server, account.access_token), 403, 'session_not_found');
    });

    test('theft of one session leaves the account\'s others alone', async () => {
      const account = await newAccount(server);
      const other = await newSession(server, account);
      const tokens = await rotate(server, account.refresh_token, 4);

      await refresh(server, tokens[0]);

      assertTokenResponse(await refresh(server, other.refresh_token));
    });

    test('of a forged token never reaches the database', async () => {
      const account = await newAccount(server);
      const genuine = bytesOf(account.refresh_token);
      // A heartbeat may fall into one round, not into each.
      await until(async () => {
        const before = await metric(server, 'pam_db_statements_total');
        for (let i = 0; i < genuine.length; ++i) {
          const forged = Buffer.from(genuine);
          forged[i] ^= 1 << (i % 8);
          assertProblem(await refresh(server, textOf(forged)), 400, 'refresh_token_not_found');
        }
        return await metric(server, 'pam_db_statements_total') === before;
      }, 'a round without statements');
      assertTokenResponse(await refresh(server, account.refresh_token));
    });

    for (const [name, token] of Object.entries({
      'of another form': 'abcdefghijkl', 'without its prefix': 'A'.repeat(96), 'too short': `pamr1_${'A'.repeat(95)}`,
      'too long': `pamr1_${'A'.repeat(97)}`, 'with padding': `pamr1_${'A'.repeat(94)}==`,
      'with a character outside the alphabet': `pamr1_${'A'.repeat(95)}+`, empty: '',
    })) {
      test(`of a token ${name} is a final 400`, async () => {
        assertProblem(await refresh(server, token), 400, ['refresh_token_not_found', 'validation_failed']);
      });
    }

    test('without a token is a final 400', async () => {
      for (const body of [{}, { refresh_token: null }, { refresh_token: 5 }, { refresh_token: {} }]) {
        const answer = await call(server, 'POST', '/auth/v1/token?grant_type=refresh_token', { body });
        assertProblem(answer, 400, ['validation_failed', 'refresh_token_not_found', 'bad_json']);
      }
    });
  });

  describe('logout', () => {
    test('ends every session of the account unless told otherwise', async () => {
      for (const scope of [undefined, '', 'global']) {
        const account = await newAccount(server);
        const other = await newSession(server, account);

        const answer = await logOut(server, account.access_token, scope);

        assert.equal(answer.status, 204);
        assert.equal(answer.text, '');
        for (const session of [account, other]) {
          assertProblem(await getUser(server, session.access_token), 403, 'session_not_found');
          assertProblem(await refresh(server, session.refresh_token), 400, endOfSession);
        }
      }
    });

    test('local ends this session only', async () => {
      const account = await newAccount(server);
      const other = await newSession(server, account);

      assert.equal((await logOut(server, account.access_token, 'local')).status, 204);

      assertProblem(await getUser(server, account.access_token), 403, 'session_not_found');
      assertProblem(await refresh(server, account.refresh_token), 400, endOfSession);
      assert.equal((await getUser(server, other.access_token)).status, 200);
      assertTokenResponse(await refresh(server, other.refresh_token));
    });

    test('others ends all but this session', async () => {
      const account = await newAccount(server);
      const other = await newSession(server, account);

      assert.equal((await logOut(server, account.access_token, 'others')).status, 204);

      assert.equal((await getUser(server, account.access_token)).status, 200);
      assertTokenResponse(await refresh(server, account.refresh_token));
      assertProblem(await getUser(server, other.access_token), 403, 'session_not_found');
      assertProblem(await refresh(server, other.refresh_token), 400, endOfSession);
    });

    test('takes a content type without a body', async () => {
      const account = await newAccount(server);

      const answer = await call(server, 'POST', '/auth/v1/logout',
        { token: account.access_token, headers: { 'content-type': 'application/json;charset=UTF-8' } });

      assert.equal(answer.status, 204);
    });

    test('with an unknown scope ends nothing', async () => {
      const account = await newAccount(server);

      assertProblem(await logOut(server, account.access_token, 'everything'), 400, 'validation_failed');

      assert.equal((await getUser(server, account.access_token)).status, 200);
    });

    test('leaves nothing that works', async () => {
      const account = await newAccount(server);
      assert.equal((await logOut(server, account.access_token)).status, 204);

      for (const [method, path, body] of [
        ['GET', '/auth/v1/user'], ['PUT', '/auth/v1/user', { data: { a: 1 } }], ['GET', '/auth/v1/sessions'],
        ['DELETE', '/auth/v1/sessions?except=current'], ['POST', '/auth/v1/logout'],
        ['DELETE', `/auth/v1/sessions/${claimsOf(account.access_token).session_id}`],
      ]) {
        assertProblem(await call(server, method, path, { token: account.access_token, body }), 403, 'session_not_found');
      }
    });

    test('during refreshes in flight leaves no way back', async () => {
      const account = await newAccount(server);

      const [, ...answers] = await Promise.all([logOut(server, account.access_token),
        ...Array.from({ length: 20 }, () => refresh(server, account.refresh_token))]);

      for (const answer of answers) {
        assert.ok([200, 400].includes(answer.status), answer.text);
        if (answer.status === 200) assert.equal((await refresh(server, answer.json.refresh_token)).status, 400);
      }
    });
  });

  describe('list', () => {
    test('shows the account\'s own sessions, newest first, and which is this one', async () => {
      const account = await newAccount(server);
      await newSession(server, account);
      await newAccount(server);

      const answer = await call(server, 'GET', '/auth/v1/sessions',
        { token: account.access_token, headers: { 'user-agent': 'black box' } });

      assert.equal(answer.status, 200, answer.text);
      const { sessions } = answer.json;
      assert.equal(sessions.length, 2);
      assert.deepEqual(sessions.map(({ current }) => current), [false, true]);
      assert.equal(sessions[1].id, claimsOf(account.access_token).session_id);
      for (const session of sessions) {
        assert.match(session.id, uuid);
        for (const time of ['created_at', 'refreshed_at', 'expires_at', 'idle_expires_at']) assert.match(session[time], timestamp);
        assert.ok(session.idle_expires_at <= session.expires_at);
        assert.equal(session.aal, 'aal1');
        assert.equal(session.amr[0].method, 'password');
        assert.ok(Number.isInteger(session.amr[0].timestamp));
        assert.ok('ip' in session && 'user_agent' in session);
      }
    });

    test('remembers the user agent that signed in', async () => {
      const account = await newAccount(server);
      const signedIn = await call(server, 'POST', '/auth/v1/token?grant_type=password',
        { body: { email: account.email, password: account.password }, headers: { 'user-agent': 'Phone/1.0' } });

      const { sessions } = (await call(server, 'GET', '/auth/v1/sessions', { token: signedIn.json.access_token })).json;

      assert.equal(sessions.find(({ current }) => current).user_agent, 'Phone/1.0');
    });

    test('ends one session by its id', async () => {
      const account = await newAccount(server);
      const other = await newSession(server, account);

      const answer = await call(server, 'DELETE', `/auth/v1/sessions/${claimsOf(other.access_token).session_id}`,
        { token: account.access_token });

      assert.equal(answer.status, 204, answer.text);
      assertProblem(await getUser(server, other.access_token), 403, 'session_not_found');
      assertProblem(await refresh(server, other.refresh_token), 400, endOfSession);
      assert.equal((await getUser(server, account.access_token)).status, 200);
    });

    test('never ends a stranger\'s session', async () => {
      const stranger = await newAccount(server);
      const account = await newAccount(server);

      const answer = await call(server, 'DELETE', `/auth/v1/sessions/${claimsOf(stranger.access_token).session_id}`,
        { token: account.access_token });

      assert.ok([204, 404].includes(answer.status), answer.text);
      assert.equal((await getUser(server, stranger.access_token)).status, 200);
      assertTokenResponse(await refresh(server, stranger.refresh_token));
    });

    test('refuses an id that is no UUID', async () => {
      const account = await newAccount(server);
      for (const id of ['x', '00000000-0000-0000-0000-00000000000', '%00', "'--"]) {
        const answer = await call(server, 'DELETE', `/auth/v1/sessions/${encodeURI(id)}`, { token: account.access_token });
        assert.ok([400, 404].includes(answer.status), answer.text);
        assertProblem(answer, answer.status, ['session_not_found', 'not_found', 'validation_failed', 'bad_request']);
      }
    });

    test('ends all sessions but this one', async () => {
      const account = await newAccount(server);
      const others = [await newSession(server, account), await newSession(server, account)];

      const answer = await call(server, 'DELETE', '/auth/v1/sessions?except=current', { token: account.access_token });

      assert.equal(answer.status, 204, answer.text);
      for (const other of others) assertProblem(await getUser(server, other.access_token), 403, 'session_not_found');
      assert.equal((await getUser(server, account.access_token)).status, 200);
      const { sessions } = (await call(server, 'GET', '/auth/v1/sessions', { token: account.access_token })).json;
      assert.equal(sessions.length, 1);
    });

    test('ends nothing when it is not told what to keep', async () => {
      const account = await newAccount(server);
      const other = await newSession(server, account);

      for (const path of ['/auth/v1/sessions', '/auth/v1/sessions?except=', '/auth/v1/sessions?except=none']) {
        assertProblem(await call(server, 'DELETE', path, { token: account.access_token }), 400, 'validation_failed');
      }

      assert.equal((await getUser(server, other.access_token)).status, 200);
    });
  });
});

describe('sessions without grace (RFC 9700)', { timeout: 120_000 }, () => {
  let server;
  before(async () => (server = await startServer({
    env: { ...quickStop, PAM_TOKENS__REUSE_INTERVAL: '0s', PAM_TOKENS__LOST_RESPONSE_WINDOW: '0s' },
  })));
  after(async () => {
    forget(server);
    await server?.stop();
  });

  test('a second use of a token ends the session', async () => {
    const account = await newAccount(server);
    const [first, second] = await rotate(server, account.refresh_token, 1);

    assertProblem(await refresh(server, first), 400, endOfSession);
    assertProblem(await refresh(server, second), 400, endOfSession);
    assertProblem(await getUser(server, account.access_token), 403, 'session_not_found');
  });
});

describe('sessions that outlive a lost response', { timeout: 120_000 }, () => {
  let server;
  before(async () => (server = await startServer({
    env: { ...quickStop, PAM_TOKENS__REUSE_INTERVAL: '0s', PAM_TOKENS__LOST_RESPONSE_WINDOW: '300s' },
  })));
  after(async () => {
    forget(server);
    await server?.stop();
  });

  test('the parent is answered three times, then it is theft', async () => {
    const account = await newAccount(server);
    const [parent, successor] = await rotate(server, account.refresh_token, 1);

    for (let i = 0; i < 3; ++i) {
      const again = await refresh(server, parent);
      assertTokenResponse(again);
      assert.equal(again.json.refresh_token, successor);
    }

    assertProblem(await refresh(server, parent), 400, endOfSession);
    assertProblem(await refresh(server, successor), 400, endOfSession);
  });
});
