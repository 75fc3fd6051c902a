// The contract, line by line: one table of the routes, one of what clients send, one of the errors, one of
// the objects. What holds for every route is asked of every route.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { routes } from './support/contract.mjs';
import { assertProblem, assertTokenResponse, assertUser, call, claimsOf, descriptionOf, forget, getUser, newAccount, newEmail, newPassword,
  newSession, signIn, timestamp, uuid } from './support/client.mjs';
import { exchange } from './support/raw.mjs';
import { quickStop, startServer } from './support/server.mjs';

const origin = 'https://app.example';
const stringCodes = { 'x-supabase-api-version': '2024-01-01' };
const exposed = 'x-supabase-api-version, X-Total-Count, Link, Retry-After, X-Request-Id, x-sb-error-code';

/** Every answer to a page of another origin, success or failure. */
function assertCors({ headers }, where) {
  assert.equal(headers['access-control-allow-origin'], '*', where);
  assert.equal(headers['access-control-expose-headers'], exposed, where);
  assert.match(headers.vary, /\borigin\b/i, where);
  assert.equal(headers['access-control-allow-credentials'], undefined, where);
}

describe('the contract, profile compatible', { timeout: 240_000 }, () => {
  let server;
  const context = {};
  before(async () => {
    server = await startServer({ env: quickStop });
    context.server = server;
    context.account = await newAccount(server);
  });
  after(async () => {
    forget(server);
    await server?.stop();
  });

  /** Sends a route's valid request with changes. */
  async function send(route, change = (request) => request) {
    const request = { headers: {}, ...await route.valid(context) };
    const { path, body, token, headers } = change(request);
    return call(server, route.method, path, { body, token, headers });
  }
  const withHeaders = (more) => (request) => ({ ...request, headers: { ...request.headers, ...more } });
  const asText = (request) => (request.body === undefined ? undefined : JSON.stringify(request.body));

  for (const route of routes) {
    const name = `${route.method} ${route.path}`;
    describe(name, () => {
      const row = (line, run) => test(`${name}: ${line}`, run);

      row('answers what its page says', async () => route.check(await send(route), context));

      row('ignores members it does not know', async () => {
        if (!route.takesBody) return route.check(await send(route, (r) => ({ ...r, body: { unknown: { deep: [null] } } })), context);
        return route.check(await send(route, (r) => ({ ...r, body: { ...r.body, unknown: [1, { a: null }], channel: 'sms' } })), context);
      });

      if (route.optional) {
        row('takes null for every optional member as absent', async () => {
          const nulls = Object.fromEntries(route.optional.map((member) => [member, null]));
          route.check(await send(route, (r) => ({ ...r, body: { ...nulls, ...r.body } })), context);
        });
      }

      row('takes an empty query value as absent', async () => {
        const add = (path) => `${path}${path.includes('?') ? '&' : '?'}page=&per_page=&redirect_to=&unknown=`;
        route.check(await send(route, (r) => ({ ...r, path: add(r.path) })), context);
      });

      for (const type of ['application/json;charset=UTF-8', 'APPLICATION/JSON; Charset=utf-8', 'application/json ; charset="utf-8"']) {
        row(`takes a body as ${type}`, async () => {
          route.check(await send(route, (r) => ({ ...r, body: asText(r) ?? '{}', headers: { ...r.headers, 'content-type': type } })), context);
        });
      }

      if (!route.needsBody) {
        for (const type of ['application/json;charset=UTF-8', 'text/plain;charset=UTF-8', 'application/x-www-form-urlencoded', 'x']) {
          row(`takes an empty body as ${type}`, async () => {
            route.check(await send(route, (r) => ({ ...r, body: '', headers: { ...r.headers, 'content-type': type } })), context);
          });
        }
      }

      if (route.isPublic) {
        for (const authorization of ['Bearer a.foreign.key', 'Bearer', 'Basic dTpw', 'Bearer ü']) {
          row(`ignores an API key and Authorization: ${authorization}`, async () => {
            route.check(await send(route, withHeaders({ authorization: Buffer.from(authorization).toString('latin1'), apikey: 'a.foreign.key' })), context);
          });
        }
      } else {
        row('ignores the API key and obeys the bearer', async () => {
          route.check(await send(route, withHeaders({ apikey: 'a.foreign.key' })), context);
          const answer = await send(route, (r) => ({ ...r, token: undefined, headers: { apikey: r.token } }));
          assertProblem(answer, 401, 'no_authorization');
          assert.match(answer.headers['www-authenticate'], /^Bearer/);
        });
        row('takes the scheme Bearer in any case', async () => {
          route.check(await send(route, (r) => ({ ...r, token: undefined, headers: { authorization: `bEARER ${r.token}` } })), context);
        });
        row('is never kept by a cache', async () => assert.equal((await send(route)).headers['cache-control'], 'no-store'));
      }

      row('has the version header if and only if it was asked for', async () => {
        assert.equal((await send(route)).headers['x-supabase-api-version'], undefined);
        const answer = await send(route, withHeaders(stringCodes));
        assert.equal(answer.headers['x-supabase-api-version'], '2024-01-01');
        route.check(answer, context);
      });

      row('shows a page of another origin its answer', async () => {
        const answer = await send(route, withHeaders({ origin }));
        route.check(answer, context);
        assertCors(answer, name);
      });

      row('has a preflight that is cached', async () => {
        const { status, headers, text } = await call(server, 'OPTIONS', (await route.valid(context)).path,
          { headers: { origin, 'access-control-request-method': route.method, 'access-control-request-headers': 'authorization' } });
        assert.equal(status, 204);
        assert.equal(text, '');
        assert.equal(headers['access-control-allow-origin'], '*');
        assert.ok(headers['access-control-allow-methods'].split(', ').includes(route.method));
        assert.ok(Number(headers['access-control-max-age']) >= 600);
        assert.match(headers.vary, /\borigin\b/i);
      });

      row('answers another method with 405, CORS and what it allows', async () => {
        const { path } = await route.valid(context);
        const answer = await call(server, 'PATCH', path, { headers: { origin, ...stringCodes } });
        assertProblem(answer, 405, 'method_not_allowed', { stringCode: true });
        assertCors(answer, name);
        assert.ok(answer.headers.allow.split(', ').includes(route.method));
        const asked = await call(server, 'OPTIONS', path);
        assert.equal(asked.status, 204);
        assert.equal(asked.headers.allow, answer.headers.allow);
      });

      row('carries a request id and the security headers', async () => {
        const { headers } = await send(route);
        assert.match(headers['x-request-id'], /^[0-9A-Za-z]{26}$/);
        assert.match(headers['strict-transport-security'], /max-age=\d{7,}/);
        assert.equal(headers['x-content-type-options'], 'nosniff');
      });

      for (const fault of route.faults) {
        row(`answers ${fault.status} ${fault.code}: ${fault.why}`, async () => {
          for (const version of [{}, stringCodes]) {
            const answer = await send(route, (r) => ({ ...r, ...fault.change(r), headers: { origin, ...version, ...r.headers, ...fault.change(r).headers } }));
            assertProblem(answer, fault.status, fault.code, { stringCode: 'x-supabase-api-version' in version });
            assert.equal(answer.headers['x-supabase-api-version'], version['x-supabase-api-version']);
            assertCors(answer, name);
            if (fault.pointer) assert.equal(answer.json.errors[0].pointer, fault.pointer);
          }
        });
      }

      if (route.takesBody) {
        row('answers a body over 64 KB with 413 and CORS', async () => {
          const answer = await send(route, (r) => ({ ...r, body: { ...r.body, unknown: 'x'.repeat(66 * 1024) }, headers: { origin, ...stringCodes } }));
          assertProblem(answer, 413, 'request_entity_too_large', { stringCode: true });
          assertCors(answer, name);
          assert.equal(answer.headers['x-supabase-api-version'], '2024-01-01');
        });
      }
    });
  }

  test('has a row for every described route, and every route is described', async () => {
    const { document } = await descriptionOf(server);
    const described = Object.entries(document.paths).flatMap(([path, verbs]) => Object.keys(verbs).map((verb) => `${verb.toUpperCase()} ${path}`));
    const listed = routes.map(({ method, path }) => `${method} /auth/v1${path}`);
    const atRoot = ['GET /health', 'GET /openapi.json', 'GET /.well-known/jwks.json'];
    // Machines' routes are tested in admin.test.mjs and oauth.test.mjs.
    assert.deepEqual(described.filter((name) => !/\/(oauth2|admin)\//.test(name)).sort(), [...listed, ...atRoot].sort());
  });

  test('describes itself at the root and under the prefix, cacheable, as OpenAPI 3.1', async () => {
    const [root, below] = [await call(server, 'GET', '/openapi.json'), await call(server, 'GET', '/auth/v1/openapi.json')];
    assert.equal(root.text, below.text);
    assert.equal(root.headers['cache-control'], 'public, max-age=600');
    assert.match(root.json.openapi, /^3\.1\.\d+$/);
    assert.deepEqual(root.json.servers, [{ url: `https://localhost:${server.port}` }]);
    const ids = Object.values(root.json.paths).flatMap((verbs) => Object.values(verbs).map(({ operationId }) => operationId));
    assert.equal(new Set(ids).size, ids.length);
  });

  describe('what is not there', () => {
    test('is 404 not_found, with CORS and the version', async () => {
      const answer = await call(server, 'GET', '/auth/v1/nothing', { headers: { origin, ...stringCodes } });
      assertProblem(answer, 404, 'not_found', { stringCode: true });
      assertCors(answer);
      assert.equal(answer.headers['x-supabase-api-version'], '2024-01-01');
    });

    const id = '01890000-0000-7000-8000-000000000001';
    for (const [method, path] of [['POST', '/otp'], ['POST', '/magiclink'], ['POST', '/verify'], ['GET', '/verify'], ['POST', '/resend'],
      ['POST', '/recover'], ['GET', '/reauthenticate'], ['POST', '/invite'], ['GET', '/authorize?provider=github'], ['GET', '/callback'],
      ['GET', '/user/identities/authorize?provider=github'], ['DELETE', `/user/identities/${id}`], ['POST', '/factors'],
      ['DELETE', `/factors/${id}`], ['POST', `/factors/${id}/challenge`], ['POST', `/factors/${id}/verify`], ['POST', '/recovery-codes'],
      ['POST', '/passkeys/registration/options'], ['POST', '/passkeys/authentication/verify'], ['GET', '/passkeys'], ['PATCH', `/passkeys/${id}`],
      ['POST', '/admin/generate_link'], ['GET', '/admin/users?page=1&per_page=50'], ['POST', '/admin/users'], ['PUT', `/admin/users/${id}`],
      ['GET', `/admin/users/${id}/factors`], ['DELETE', `/admin/users/${id}/factors/${id}`],
      ['GET', '/admin/oauth/clients'], ['POST', '/sso'], ['POST', '/sso/saml/acs'], ['GET', `/oauth/authorizations/${id}`],
      ['POST', `/oauth/authorizations/${id}/consent`], ['GET', '/user/oauth/grants'], ['GET', '/admin/custom-providers'],
      ['POST', '/token?grant_type=web3']]) {
      test(`${method} ${path} is off: 404 feature_disabled`, async () => {
        const answer = await call(server, method, `/auth/v1${path}`, { body: method === 'GET' ? undefined : {}, headers: { origin } });
        assertProblem(answer, 404, 'feature_disabled');
        assertCors(answer);
        if (!path.startsWith('/token')) assertProblem(await call(server, method, path, {}), 404, 'not_found');
      });
    }
  });

  describe('objects', () => {
    test('the token response', async () => {
      const answer = await signIn(server, context.account.email, context.account.password);
      assertTokenResponse(answer);
      const { token_type, expires_in, expires_at, weak_password } = answer.json;
      assert.equal(token_type, 'bearer');
      assert.ok(expires_in <= 900 && expires_in >= 855, 'jitter downwards by at most 5 %');
      assert.ok(Math.abs(expires_at - expires_in - Date.now() / 1000) < 30);
      assert.equal(weak_password, undefined);
    });

    test('the user: absent strings are empty, identities an array, factors left out', async () => {
      const { json: user } = await getUser(server, context.account.access_token);
      assertUser(user);
      assert.deepEqual(Object.keys(user), ['id', 'aud', 'role', 'email', 'email_confirmed_at', 'phone', 'confirmed_at',
        'last_sign_in_at', 'app_metadata', 'user_metadata', 'identities', 'created_at', 'updated_at', 'is_anonymous']);
      assert.equal(user.phone, '');
      assert.equal(user.confirmed_at, user.email_confirmed_at);
      assert.equal(user.is_anonymous, false);
      assert.deepEqual(user.app_metadata, { provider: 'email', providers: ['email'] });
      assert.deepEqual(user.user_metadata, { email: context.account.email, email_verified: true, phone_verified: false, sub: user.id });
    });

    test('the identity', async () => {
      const { json: user } = await getUser(server, context.account.access_token);
      const [identity] = user.identities;
      assert.deepEqual(Object.keys(identity).sort(), ['created_at', 'email', 'id', 'identity_data', 'identity_id', 'last_sign_in_at',
        'provider', 'updated_at', 'user_id']);
      assert.match(identity.identity_id, uuid);
      assert.notEqual(identity.identity_id, user.id);
      assert.equal(identity.id, user.id);
      assert.deepEqual(identity.identity_data, { email: user.email, email_verified: true, phone_verified: false, sub: user.id });
      for (const member of ['last_sign_in_at', 'created_at', 'updated_at']) assert.match(identity[member], timestamp);
    });

    test('the claims of an access token, exactly', () => {
      const claims = claimsOf(context.account.access_token);
      assert.deepEqual(Object.keys(claims), ['iss', 'sub', 'aud', 'exp', 'iat', 'email', 'phone', 'app_metadata', 'user_metadata',
        'role', 'aal', 'amr', 'session_id', 'is_anonymous']);
      const { exp, iat, amr, session_id, iss, ...rest } = claims;
      const { user } = context.account;
      assert.deepEqual(rest, { sub: user.id, aud: 'authenticated', email: user.email, phone: '', app_metadata: user.app_metadata,
        user_metadata: user.user_metadata, role: 'authenticated', aal: 'aal1', is_anonymous: false });
      assert.equal(iss, `https://localhost:${server.port}/auth/v1`);
      assert.match(session_id, uuid);
      assert.deepEqual(Object.keys(amr[0]), ['method', 'timestamp']);
      assert.deepEqual(amr, [{ method: 'password', timestamp: amr[0].timestamp }]);
      assert.ok(Number.isInteger(amr[0].timestamp) && Number.isInteger(iat) && Number.isInteger(exp));
      assert.ok(Math.abs(iat - amr[0].timestamp) <= 10);
    });

    test('the session', async () => {
      const { json: { sessions } } = await call(server, 'GET', '/auth/v1/sessions', { token: context.account.access_token });
      assert.equal(sessions.filter(({ current }) => current).length, 1);
      for (const session of sessions) {
        const { user_agent: _, ...members } = session;
        assert.deepEqual(Object.keys(members), ['id', 'current', 'created_at', 'refreshed_at', 'expires_at', 'idle_expires_at', 'aal', 'amr', 'ip']);
        for (const member of ['created_at', 'refreshed_at', 'expires_at', 'idle_expires_at']) assert.match(session[member], timestamp);
        assert.equal(session.aal, 'aal1');
        assert.equal(session.ip, '127.0.0.1');
        assert.equal(session.amr[0].method, 'password');
        assert.equal(Date.parse(session.expires_at) - Date.parse(session.created_at), 90 * 86_400_000);
      }
    });

    test('weak_password: a message and reasons out of three', async () => {
      for (const [password, reason] of [['Vz9-kqw', 'length'], ['password123', 'pwned']]) {
        const answer = await call(server, 'POST', '/auth/v1/signup', { body: { email: newEmail(), password } });
        assertProblem(answer, 422, 'weak_password');
        assert.deepEqual(Object.keys(answer.json.weak_password), ['message', 'reasons']);
        assert.deepEqual(answer.json.weak_password.reasons, [reason]);
        assert.ok(answer.json.weak_password.message.length > 0);
      }
    });

    test('a change of data merges at the top level and null deletes a key', async () => {
      const account = await newAccount(server, { data: { keep: { a: 1 }, drop: 1, nested: { a: 1, b: null } } });
      const { json: user } = await call(server, 'PUT', '/auth/v1/user', { token: account.access_token, body: { data: { drop: null, nested: { c: null } } } });
      assert.deepEqual(user.user_metadata, { keep: { a: 1 }, nested: { c: null }, email: account.email, email_verified: true,
        phone_verified: false, sub: account.user.id });
    });

    test('JWKS, health and settings are what they say, at the root and under the prefix', async () => {
      for (const prefix of ['', '/auth/v1']) {
        const { headers, json: { keys } } = await call(server, 'GET', `${prefix}/.well-known/jwks.json`);
        assert.equal(headers['cache-control'], 'public, max-age=600');
        for (const key of keys) {
          assert.equal(key.use, 'sig');
          assert.deepEqual(key.key_ops, ['verify']);
          assert.deepEqual(Object.keys(key).sort(), ['alg', 'crv', 'key_ops', 'kid', 'kty', 'use', 'x', 'y']);
        }
        assert.equal((await call(server, 'GET', `${prefix}/health`)).json.status, 'ok');
      }
      const { json: settings } = await call(server, 'GET', '/auth/v1/settings');
      assert.deepEqual(settings, { external: { anonymous_users: false, email: true, phone: false }, disable_signup: false,
        mailer_autoconfirm: true, phone_autoconfirm: false, sms_provider: '', saml_enabled: false, passkeys_enabled: false });
    });
  });

  describe('errors of other kinds', () => {
    test('an unknown grant type is invalid_credentials; pkce and id_token have their own codes', async () => {
      for (const type of ['', 'magic', 'client_credentials']) {
        assertProblem(await call(server, 'POST', `/auth/v1/token?grant_type=${type}`, { body: {} }), 400, 'invalid_credentials');
      }
      const pkce = await call(server, 'POST', '/auth/v1/token?grant_type=pkce', { body: { auth_code: 'x', code_verifier: 'y' } });
      assertProblem(pkce, 404, 'flow_state_not_found');
      const idToken = await call(server, 'POST', '/auth/v1/token?grant_type=id_token', { body: { provider: 'google', id_token: 'x' } });
      assertProblem(idToken, 422, 'provider_disabled');
    });

    test('a refresh that fails answers a final 400 whatever was sent', async () => {
      for (const body of ['', '{', '[]', '{}', '{"refresh_token":null}', '{"refresh_token":5}', '{"refresh_token":""}', '{"refresh_token":"x"}',
        `{"refresh_token":"${'x'.repeat(5000)}"}`, `{"refresh_token":"pamr1_${'A'.repeat(96)}"}`]) {
        for (const type of ['application/json', 'text/plain', undefined]) {
          const { status } = await call(server, 'POST', '/auth/v1/token?grant_type=refresh_token',
            { body, headers: type ? { 'content-type': type } : {} });
          assert.equal(status, 400, `${body.slice(0, 40)} as ${type}`);
        }
      }
    });
  });
});

describe('the contract at its limits', { timeout: 120_000 }, () => {
  let server;
  before(async () => (server = await startServer({ env: { ...quickStop, PAM_SERVER__SHARDS: '1', PAM_ADMISSION__HASH: '1',
    PAM_HASH__THREADS: '1', PAM_LIMITS__BODY: '500ms', PAM_LIMITS__HEADER: '500ms' } })));
  after(async () => {
    forget(server);
    await server?.stop();
  });

  test('503 at admission names its limit, says when to come back and carries CORS', async () => {
    const refused = [];
    while (refused.length === 0) {
      const answers = await Promise.all(Array.from({ length: 8 }, () => call(server, 'POST', '/auth/v1/signup',
        { body: { email: newEmail(), password: newPassword() }, headers: { origin, ...stringCodes } })));
      refused.push(...answers.filter(({ status }) => status !== 200));
    }
    for (const answer of refused) {
      assertProblem(answer, 503, 'over_capacity', { stringCode: true });
      assert.equal(answer.json.reason, 'hash');
      assertCors(answer);
      assert.equal(answer.headers['x-supabase-api-version'], '2024-01-01');
    }
  });

  test('a request too slow to arrive is 504, a refresh 503, never 408, with CORS and the version', async () => {
    const start = (path) => `POST ${path} HTTP/1.1\r\nHost: localhost\r\nOrigin: ${origin}\r\nX-Supabase-Api-Version: 2024-01-01\r\n`
      + 'Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"email":';
    const { answers: [slow] } = await exchange(server, start('/auth/v1/signup'));
    assertProblem(slow, 504, 'request_timeout', { stringCode: true });
    assertCors(slow);
    assert.equal(slow.headers['x-supabase-api-version'], '2024-01-01');

    const { answers: [refresh] } = await exchange(server, start('/auth/v1/token?grant_type=refresh_token'));
    assertProblem(refresh, 503, 'over_capacity', { stringCode: true });
    assertCors(refresh);
  });
});

describe('the contract, profile strict', { timeout: 120_000 }, () => {
  let server;
  before(async () => (server = await startServer({ env: { ...quickStop, PAM_SERVER__PROFILE: 'strict' } })));
  after(async () => {
    forget(server);
    await server?.stop();
  });

  test('no origin is granted anything until one is listed', async () => {
    const account = await newAccount(server);
    for (const [method, path] of [['GET', '/health'], ['GET', '/auth/v1/user'], ['OPTIONS', '/auth/v1/user'], ['GET', '/nothing']]) {
      const { headers } = await call(server, method, path, { token: account.access_token, headers: { origin, 'access-control-request-method': 'GET' } });
      for (const name of Object.keys(headers)) assert.ok(!name.startsWith('access-control-'), `${path}: ${name}`);
      assert.match(headers.vary, /\borigin\b/i);
    }
  });

  test('a new password needs the current one', async () => {
    const account = await newAccount(server);
    const change = (body) => call(server, 'PUT', '/auth/v1/user', { token: account.access_token, body });
    const password = newPassword();
    assertProblem(await change({ password }), 400, 'current_password_required');
    assertProblem(await change({ password, current_password: '' }), 400, 'current_password_required');
    assertProblem(await change({ password, current_password: newPassword() }), 400, 'current_password_invalid');
    assert.equal((await change({ password, current_password: account.password })).status, 200);
    assertTokenResponse(await signIn(server, account.email, password));
  });

  test('changing anything else does not', async () => {
    const account = await newAccount(server);
    assert.equal((await call(server, 'PUT', '/auth/v1/user', { token: account.access_token, body: { data: { a: 1 } } })).status, 200);
  });

  test('a refresh token works once: its second use ends the session (RFC 9700)', async () => {
    const account = await newAccount(server);
    const other = await newSession(server, account);
    const use = (token) => call(server, 'POST', '/auth/v1/token?grant_type=refresh_token', { body: { refresh_token: token } });
    const next = await use(account.refresh_token);
    assertTokenResponse(next);

    assertProblem(await use(account.refresh_token), 400, ['refresh_token_already_used', 'session_not_found']);

    assertProblem(await use(next.json.refresh_token), 400, ['refresh_token_not_found', 'refresh_token_already_used', 'session_not_found']);
    assertProblem(await getUser(server, next.json.access_token), 403, 'session_not_found');
    assert.equal((await getUser(server, other.access_token)).status, 200);
  });

  test('objects and errors have the same shapes', async () => {
    const account = await newAccount(server);
    assertTokenResponse(await signIn(server, account.email, account.password));
    assertProblem(await signIn(server, account.email, newPassword()), 400, 'invalid_credentials');
  });
});
