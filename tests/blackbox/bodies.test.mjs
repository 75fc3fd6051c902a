// Bodies no decoder may stumble over, error shapes, CORS, versions, methods and routes.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { assertProblem, assertTokenResponse, call, forget, getUser, newAccount, newEmail, newPassword, signUp } from './support/client.mjs';
import { quickStop, startServer } from './support/server.mjs';

const json = { 'content-type': 'application/json' };
const nested = (depth) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;

describe('requests', { timeout: 120_000 }, () => {
  let server;
  before(async () => (server = await startServer({ env: quickStop })));
  after(async () => {
    forget(server);
    await server?.stop();
  });

  describe('bodies', () => {
    const email = '"email":"a@example.com"';
    const password = '"password":"Vz9-abcdefghi"';
    const refused = {
      'an unfinished object': `{${email}`,
      'trailing bytes': `{${email},${password}} x`,
      'two objects': `{${email}}{${password}}`,
      'an array': '[]',
      'a string': '"text"',
      'a number': '5',
      'a bare word': 'nul',
      'a comment': `{/* no */${email}}`,
      'a trailing comma': `{${email},}`,
      'single quotes': "{'email':'a@example.com'}",
      'a duplicate key': `{${email},${email},${password}}`,
      'a duplicate key in escapes': `{${email},"\\u0065mail":"b@example.com",${password}}`,
      'U+0000 in a value': `{${email},"password":"Vz9-abc\\u0000defghi"}`,
      'U+0000 in metadata': `{${email},${password},"data":{"a":"\\u0000"}}`,
      'U+0000 in a metadata key': `{${email},${password},"data":{"a\\u0000":1}}`,
      'a lone high surrogate': `{${email},${password},"data":{"a":"\\ud800"}}`,
      'a lone low surrogate': `{${email},${password},"data":{"a":"\\udc00"}}`,
      'a number outside double': `{${email},${password},"data":{"a":1e999}}`,
      'a number with a leading zero': `{${email},${password},"data":{"a":01}}`,
      'NaN': `{${email},${password},"data":{"a":NaN}}`,
      'nesting over 32': `{${email},${password},"data":${nested(40)}}`,
      'very deep nesting': `{${email},${password},"data":${'['.repeat(20_000)}${']'.repeat(20_000)}}`,
      'deep nesting in an unknown member': `{${email},${password},"x":${nested(2000)}}`,
      'a wrong type of email': `{"email":5,${password}}`,
      'a wrong type of password': `{${email},"password":["Vz9-abcdefghi"]}`,
      'metadata that is no object': `{${email},${password},"data":"text"}`,
      'invalid UTF-8': Buffer.concat([Buffer.from(`{${email},"password":"Vz9-abcdef`), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]),
      'overlong UTF-8': Buffer.concat([Buffer.from(`{${email},${password},"data":{"a":"`), Buffer.from([0xc0, 0xaf]), Buffer.from('"}}')]),
      'a surrogate in UTF-8': Buffer.concat([Buffer.from(`{${email},${password},"data":{"a":"`), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}}')]),
      'a raw control character': `{${email},${password},"data":{"a":"\u0001"}}`,
      'UTF-16': Buffer.from(`{${email},${password}}`, 'utf16le'),
      'binary': Buffer.from([0, 1, 2, 3, 250, 251]),
    };
    for (const [name, body] of Object.entries(refused)) {
      test(`${name} is refused`, async () => {
        const answer = await call(server, 'POST', '/auth/v1/signup', { body, headers: json });

        assertProblem(answer, 400, ['bad_json', 'validation_failed', 'email_address_invalid']);
      });
    }

    test('nothing of a refused sign-up was kept', async () => {
      const body = `{"email":"kept@example.com","password":"Vz9-abcdefghi","data":{"a":"\\u0000"}}`;
      await call(server, 'POST', '/auth/v1/signup', { body, headers: json });

      assertTokenResponse(await signUp(server, 'kept@example.com', newPassword()));
    });

    test('an empty body lacks what is required', async () => {
      assertProblem(await call(server, 'POST', '/auth/v1/token?grant_type=password', { headers: json }), 400, 'validation_failed');
    });

    test('of another type are refused', async () => {
      for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/jsonp']) {
        const answer = await call(server, 'POST', '/auth/v1/signup',
          { body: JSON.stringify({ email: newEmail(), password: newPassword() }), headers: { 'content-type': type } });
        assert.ok([400, 415].includes(answer.status), answer.text);
        assertProblem(answer, answer.status, answer.status === 415 ? 'unsupported_media_type' : 'validation_failed');
      }
    });

    test('of a megabyte are refused as too large', async () => {
      const answer = await call(server, 'POST', '/auth/v1/signup',
        { body: `{"email":"${'x'.repeat(1024 * 1024)}"}`, headers: json });

      assertProblem(answer, 413, 'request_entity_too_large');
    });

    test('just under the limit are read', async () => {
      const answer = await call(server, 'POST', '/auth/v1/signup',
        { body: { email: newEmail(), password: newPassword(), ignored: 'x'.repeat(60 * 1024) } });

      assertTokenResponse(answer);
    });

    test('every Unicode character survives the way through the database', async () => {
      const name = 'ﷺ \u{1F468}\u200D\u{1F469}\u200D\u{1F467} \u0001 " \\ / \u2028 é e\u0301 \u{10FFFF}';

      const account = await newAccount(server, { data: { name, [name]: 1 } });

      const { user_metadata } = (await getUser(server, account.access_token)).json;
      assert.equal(user_metadata.name, name);
      assert.equal(user_metadata[name], 1);
    });

    test('numbers and nesting of metadata survive', async () => {
      const data = { zero: 0, negative: -1.5, big: 9007199254740991, small: 1e-300, deep: JSON.parse(nested(28)), list: [[], {}, '', null, false] };

      const account = await newAccount(server, { data });

      const { user_metadata } = (await getUser(server, account.access_token)).json;
      for (const key of Object.keys(data)) assert.deepEqual(user_metadata[key], data[key]);
    });
  });

  describe('errors', () => {
    const bad = { email: 'nobody@example.com', password: 'Vz9-not-the-one' };
    const path = '/auth/v1/token?grant_type=password';

    test('have a numeric code unless the client asks for the newer version', async () => {
      const answer = await call(server, 'POST', path, { body: bad });

      assertProblem(answer, 400, 'invalid_credentials');
      assert.equal(answer.headers['x-supabase-api-version'], undefined);
    });

    test('have a string code when the client asks for it', async () => {
      for (const version of ['2024-01-01', '2025-06-30']) {
        const answer = await call(server, 'POST', path, { body: bad, headers: { 'x-supabase-api-version': version } });
        assertProblem(answer, 400, 'invalid_credentials', { stringCode: true });
        assert.equal(answer.headers['x-supabase-api-version'], '2024-01-01');
      }
    });

    test('keep the numeric code for versions nobody knows', async () => {
      for (const version of ['2023-12-31', 'latest', '']) {
        const answer = await call(server, 'POST', path, { body: bad, headers: { 'x-supabase-api-version': version } });
        assertProblem(answer, 400, 'invalid_credentials');
      }
    });

    test('name the member that is wrong', async () => {
      const answer = await call(server, 'PUT', '/auth/v1/user', { body: { data: 5 }, token: (await newAccount(server)).access_token });

      assertProblem(answer, 400, ['validation_failed', 'bad_json']);
      assert.equal(answer.json.errors?.[0]?.pointer, '/data');
    });
  });

  describe('routes', () => {
    test('that do not exist are 404', async () => {
      for (const path of ['/', '/auth', '/auth/v1', '/auth/v1/', '/auth/v1/nothing', '/auth/v1/user/', '/auth/v1/users', '/AUTH/V1/user',
        '/auth/v1//user', '/auth/v1/../v1/user', '/auth/v1/%75ser', '/metrics', '/livez', '/readyz', '/.env']) {
        const answer = await call(server, 'GET', path);
        assertProblem(answer, 404, 'not_found');
      }
    });

    test('that are off are 404', async () => {
      for (const [method, path] of [['POST', '/auth/v1/sso'], ['GET', '/auth/v1/oauth/authorizations/x']]) {
        assertProblem(await call(server, method, path, { body: method === 'POST' ? {} : undefined }), 404, ['feature_disabled', 'not_found']);
      }
    });

    test('answer a wrong method with 405 and the right ones', async () => {
      for (const [method, path, allowed] of [['GET', '/auth/v1/signup', ['POST']], ['DELETE', '/auth/v1/user', ['GET', 'PUT']],
        ['PATCH', '/auth/v1/user', ['GET', 'PUT']], ['GET', '/auth/v1/token', ['POST']], ['POST', '/auth/v1/sessions', ['GET', 'DELETE']],
        ['POST', '/health', ['GET']]]) {
        const answer = await call(server, method, path);
        assertProblem(answer, 405, 'method_not_allowed');
        const allow = answer.headers.allow.split(/,\s*/);
        for (const one of allowed) assert.ok(allow.includes(one), `${path}: ${answer.headers.allow}`);
        assert.ok(!allow.includes(method));
      }
    });

    test('answer HEAD like GET without the body', async () => {
      for (const path of ['/health', '/auth/v1/settings', '/.well-known/jwks.json']) {
        const get = await call(server, 'GET', path);
        const head = await call(server, 'HEAD', path);
        assert.equal(head.status, 200);
        assert.equal(head.text, '');
        assert.equal(head.headers['content-length'], get.headers['content-length']);
        assert.equal(head.headers['content-type'], get.headers['content-type']);
      }
    });

    test('answer health and keys at the root and under the prefix', async () => {
      for (const name of ['/health', '/.well-known/jwks.json']) {
        const [root, prefixed] = [await call(server, 'GET', name), await call(server, 'GET', `/auth/v1${name}`)];
        assert.equal(root.status, 200);
        assert.equal(prefixed.status, 200);
        assert.deepEqual(Object.keys(prefixed.json), Object.keys(root.json));
      }
    });

    test('publish public keys only, for ten minutes', async () => {
      const { headers, json: { keys } } = await call(server, 'GET', '/.well-known/jwks.json');

      assert.equal(headers['cache-control'], 'public, max-age=600');
      assert.ok(keys.length >= 1);
      for (const key of keys) {
        assert.equal(key.use, 'sig');
        assert.deepEqual(key.key_ops, ['verify']);
        assert.ok(key.kid && key.alg);
        for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k', 'oth']) assert.ok(!(secret in key), `the key shows ${secret}`);
      }
    });

    test('say what is on', async () => {
      const { status, json: settings } = await call(server, 'GET', '/auth/v1/settings');

      assert.equal(status, 200);
      assert.equal(settings.external.email, true);
      assert.equal(settings.external.phone, false);
      assert.equal(settings.external.anonymous_users, false);
      assert.equal(settings.disable_signup, false);
      assert.equal(settings.mailer_autoconfirm, true);
      for (const member of ['phone_autoconfirm', 'sms_provider', 'saml_enabled', 'passkeys_enabled']) assert.ok(member in settings, member);
    });

    test('carry the security headers', async () => {
      for (const path of ['/health', '/auth/v1/user', '/nothing']) {
        const { headers } = await call(server, 'GET', path);
        assert.match(headers['strict-transport-security'], /max-age=\d{7,}/);
        assert.equal(headers['x-content-type-options'], 'nosniff');
        assert.ok(headers['x-request-id']);
        assert.ok(headers.date);
        assert.ok(!/pam|boost|beast|openssl|\d\.\d/i.test(headers.server ?? ''), headers.server);
      }
    });

    test('give every request an id of its own', async () => {
      const ids = await Promise.all(Array.from({ length: 50 }, async () => (await call(server, 'GET', '/health')).headers['x-request-id']));

      assert.equal(new Set(ids).size, 50);
    });
  });

  describe('CORS', () => {
    const origin = 'https://app.example';

    test('preflights say what is allowed', async () => {
      const asked = ['authorization', 'apikey', 'content-type', 'accept', 'x-client-info', 'x-supabase-api-version', 'x-client-ip',
        'x-retry-count', 'traceparent', 'tracestate', 'baggage', 'x-jwt-aud'];
      const { status, headers, text } = await call(server, 'OPTIONS', '/auth/v1/user', { headers: {
        origin, 'access-control-request-method': 'PUT', 'access-control-request-headers': asked.join(',') } });

      assert.ok([200, 204].includes(status));
      assert.equal(text, '');
      assert.ok(['*', origin].includes(headers['access-control-allow-origin']));
      const allowed = headers['access-control-allow-headers'].toLowerCase().split(/,\s*/);
      for (const name of asked) assert.ok(allowed.includes(name), name);
      for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) assert.ok(headers['access-control-allow-methods'].includes(method));
      assert.ok(Number(headers['access-control-max-age']) > 0);
      assert.match(headers.vary, /origin/i);
    });

    test('answers and errors carry the headers', async () => {
      const big = `{"email":"${'x'.repeat(1024 * 1024)}"}`;
      for (const [method, path, body, status] of [['GET', '/health', undefined, 200], ['GET', '/auth/v1/user', undefined, 401],
        ['GET', '/nothing', undefined, 404], ['GET', '/auth/v1/signup', undefined, 405], ['POST', '/auth/v1/signup', '{', 400],
        ['POST', '/auth/v1/signup', big, 413]]) {
        const answer = await call(server, method, path, { body, headers: { origin, ...(body && json) } });
        assert.equal(answer.status, status, `${method} ${path}: ${answer.text}`);
        assert.ok(['*', origin].includes(answer.headers['access-control-allow-origin']), `${method} ${path}`);
        const exposed = answer.headers['access-control-expose-headers'].toLowerCase().split(/,\s*/);
        for (const name of ['x-supabase-api-version', 'x-total-count', 'link', 'retry-after', 'x-request-id', 'x-sb-error-code']) {
          assert.ok(exposed.includes(name), name);
        }
        assert.match(answer.headers.vary, /origin/i);
      }
    });

    test('requests without an origin get no CORS grant that differs', async () => {
      const { headers } = await call(server, 'GET', '/health');

      assert.ok([undefined, '*'].includes(headers['access-control-allow-origin']));
    });
  });
});

describe('CORS with a list of origins', { timeout: 120_000 }, () => {
  let server;
  before(async () => (server = await startServer({
    env: { ...quickStop, PAM_SERVER__CORS_ORIGINS: 'https://app.example,https://admin.example' },
  })));
  after(async () => {
    forget(server);
    await server?.stop();
  });

  test('grants the listed ones by name and no other', async () => {
    const ask = async (origin) => (await call(server, 'GET', '/health', { headers: { origin } })).headers['access-control-allow-origin'];

    assert.equal(await ask('https://app.example'), 'https://app.example');
    assert.equal(await ask('https://admin.example'), 'https://admin.example');
    for (const stranger of ['https://evil.example', 'https://app.example.evil.example', 'http://app.example', 'null', 'https://APP.example/']) {
      assert.equal(await ask(stranger), undefined, stranger);
    }
  });
});
