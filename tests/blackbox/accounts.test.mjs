// Signing up, signing in by password, reading and changing the user.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { assertProblem, assertTokenResponse, assertUser, call, claimsOf, forget, getUser, newAccount, newEmail,
  newPassword, newSession, refresh, signIn, signUp } from './support/client.mjs';
import { quickStop, startServer } from './support/server.mjs';

describe('accounts', { timeout: 180_000 }, () => {
  let server;
  before(async () => (server = await startServer({ env: quickStop })));
  after(async () => {
    forget(server);
    await server?.stop();
  });

  describe('sign-up', () => {
    test('answers a session for the new user', async () => {
      const email = newEmail();

      const answer = await signUp(server, email, newPassword(), { data: { name: 'Zoë', age: 41, tags: ['a', null] } });

      assertTokenResponse(answer);
      const { user, access_token } = answer.json;
      assert.equal(user.email, email);
      assert.equal(user.phone, '');
      assert.equal(user.is_anonymous, false);
      assert.ok(user.email_confirmed_at);
      assert.deepEqual(user.app_metadata, { provider: 'email', providers: ['email'] });
      assert.deepEqual(user.user_metadata,
        { name: 'Zoë', age: 41, tags: ['a', null], email, email_verified: true, phone_verified: false, sub: user.id });
      assert.equal(user.identities.length, 1);
      assert.equal(user.identities[0].provider, 'email');
      assert.equal(user.identities[0].id, user.id);
      assert.equal(user.identities[0].identity_data.sub, user.id);
      assert.equal(claimsOf(access_token).sub, user.id);
    });

    test('keeps an address once, whatever its case and surrounding spaces', async () => {
      const { email, password } = await newAccount(server);

      for (const variant of [email, email.toUpperCase(), ` ${email} `]) {
        assertProblem(await signUp(server, variant, newPassword()), 422, 'user_already_exists');
      }

      assertTokenResponse(await signIn(server, email.toUpperCase(), password));
    });

    test('of one address by twenty clients at once makes exactly one account', async () => {
      const email = newEmail();

      const answers = await Promise.all(Array.from({ length: 20 }, () => signUp(server, email, newPassword())));

      const winners = answers.filter(({ status }) => status === 200);
      assert.equal(winners.length, 1);
      for (const answer of answers) {
        if (answer.status === 503) assertProblem(answer, 503, 'over_capacity');
        else if (answer.status !== 200) assertProblem(answer, 422, 'user_already_exists');
      }
    });

    test('treats null as absent and ignores members it does not know', async () => {
      const answer = await signUp(server, newEmail(), newPassword(),
        { phone: null, data: null, code_challenge: null, gotrue_meta_security: {}, channel: 'sms', x: { y: [1] } });

      assertTokenResponse(answer);
    });

    test('refuses a password that is too short and says why', async () => {
      const answer = await signUp(server, newEmail(), 'Vz9-kqw');

      assertProblem(answer, 422, 'weak_password');
      assert.deepEqual(Object.keys(answer.json.weak_password).sort(), ['message', 'reasons']);
      assert.deepEqual(answer.json.weak_password.reasons, ['length']);
    });

    test('counts the characters of a password, not its bytes', async () => {
      assertProblem(await signUp(server, newEmail(), 'ÄÖÜäöüß'), 422, 'weak_password');
      assertTokenResponse(await signUp(server, newEmail(), 'ÄÖÜäöüßé'));
    });

    test('takes a long password whole', async () => {
      const email = newEmail();
      const password = `${newPassword()}${'x'.repeat(200)}`;
      assertTokenResponse(await signUp(server, email, password));

      assertProblem(await signIn(server, email, password.slice(0, -1)), 400, 'invalid_credentials');
      assertTokenResponse(await signIn(server, email, password));
    });

    for (const email of ['', 'nobody', 'a@', '@example.com', 'a b@example.com', 'a@b@example.com', 'a@example..com',
      `${'x'.repeat(260)}@example.com`, 'a@example.com\u0007']) {
      test(`refuses the address ${JSON.stringify(email.slice(0, 24))}`, async () => {
        assertProblem(await signUp(server, email, newPassword()), 400, ['email_address_invalid', 'validation_failed']);
      });
    }

    test('refuses a request without a password', async () => {
      assertProblem(await call(server, 'POST', '/auth/v1/signup', { body: { email: newEmail() } }), 400, 'validation_failed');
    });

    test('by phone or without credentials says which provider is off', async () => {
      const byPhone = await call(server, 'POST', '/auth/v1/signup', { body: { phone: '+4915112345678', password: newPassword() } });
      assertProblem(byPhone, 400, 'phone_provider_disabled');

      const anonymous = await call(server, 'POST', '/auth/v1/signup', { body: {} });
      assertProblem(anonymous, 422, 'anonymous_provider_disabled');
    });

    test('refuses metadata that would not fit into a token', async () => {
      const answer = await signUp(server, newEmail(), newPassword(), { data: { blob: 'x'.repeat(17 * 1024) } });

      assertProblem(answer, 400, ['validation_failed', 'bad_json']);
    });
  });

  describe('sign-in', () => {
    test('answers a new session of the same user', async () => {
      const account = await newAccount(server);

      const answer = await signIn(server, account.email, account.password);

      assertTokenResponse(answer);
      assert.equal(answer.json.user.id, account.user.id);
      assert.notEqual(claimsOf(answer.json.access_token).session_id, claimsOf(account.access_token).session_id);
    });

    test('answers a wrong password and an unknown address alike', async () => {
      const { email } = await newAccount(server);

      const wrong = await signIn(server, email, newPassword());
      const unknown = await signIn(server, newEmail(), newPassword());

      assertProblem(wrong, 400, 'invalid_credentials');
      assertProblem(unknown, 400, 'invalid_credentials');
      const withoutId = ({ json: { request_id: _, ...rest } }) => rest;
      assert.deepEqual(withoutId(wrong), withoutId(unknown));
    });

    // Two steps of 10 ms at least (docs/adr/0060), whatever the database had to do.
    test('refuses at its step of time, not as soon as it can', async () => {
      const { email } = await newAccount(server);
      for (const address of [email, newEmail()]) {
        const began = performance.now();
        assert.equal((await signIn(server, address, newPassword())).status, 400);
        assert.ok(performance.now() - began >= 19.9);
      }
    });

    test('ignores an API key that somebody else signed', async () => {
      const { email, password } = await newAccount(server);

      const answer = await call(server, 'POST', '/auth/v1/token?grant_type=password',
        { body: { email, password }, headers: { authorization: 'Bearer any.api.key', apikey: 'any' } });

      assertTokenResponse(answer);
    });

    test('of an unknown or missing kind is refused', async () => {
      for (const path of ['/auth/v1/token', '/auth/v1/token?grant_type=', '/auth/v1/token?grant_type=magic']) {
        assertProblem(await call(server, 'POST', path, { body: {} }), 400, 'invalid_credentials');
      }
    });

    test('by phone says that the provider is off', async () => {
      const answer = await call(server, 'POST', '/auth/v1/token?grant_type=password',
        { body: { phone: '+4915112345678', password: newPassword() } });

      assertProblem(answer, 422, 'phone_provider_disabled');
    });

    test('takes any spelling of the JSON content type', async () => {
      const { email, password } = await newAccount(server);
      for (const type of ['application/json;charset=UTF-8', 'Application/JSON', 'application/json; charset=utf-8']) {
        const answer = await call(server, 'POST', '/auth/v1/token?grant_type=password',
          { body: JSON.stringify({ email, password }), headers: { 'content-type': type } });
        assertTokenResponse(answer);
      }
    });
  });

  describe('user', () => {
    test('is what the session says it is', async () => {
      const account = await newAccount(server, { data: { colour: 'blue' } });

      const answer = await getUser(server, account.access_token);

      assert.equal(answer.status, 200);
      assertUser(answer.json);
      assert.equal(answer.json.id, account.user.id);
      assert.equal(answer.json.user_metadata.colour, 'blue');
      assert.match(answer.headers['cache-control'], /no-store/);
    });

    test('merges data at the top level and removes what is null', async () => {
      const account = await newAccount(server, { data: { keep: 1, change: { a: 1 }, drop: 'x' } });

      const answer = await call(server, 'PUT', '/auth/v1/user',
        { token: account.access_token, body: { data: { change: { b: 2 }, drop: null, added: true } } });

      assert.equal(answer.status, 200, answer.text);
      assertUser(answer.json);
      const { keep, change, added } = answer.json.user_metadata;
      assert.deepEqual({ keep, change, added }, { keep: 1, change: { b: 2 }, added: true });
      assert.ok(!('drop' in answer.json.user_metadata));
      assert.deepEqual((await getUser(server, account.access_token)).json.user_metadata, answer.json.user_metadata);
    });

    test('carries changed data in the next token', async () => {
      const account = await newAccount(server);
      await call(server, 'PUT', '/auth/v1/user', { token: account.access_token, body: { data: { plan: 'pro' } } });

      const next = await refresh(server, account.refresh_token);

      assert.equal(claimsOf(next.json.access_token).user_metadata.plan, 'pro');
    });

    test('changing the password keeps this session and ends the others', async () => {
      const account = await newAccount(server);
      const other = await newSession(server, account);
      const password = newPassword();

      const answer = await call(server, 'PUT', '/auth/v1/user', { token: account.access_token, body: { password } });

      assert.equal(answer.status, 200, answer.text);
      assert.equal((await getUser(server, account.access_token)).status, 200);
      assertTokenResponse(await refresh(server, account.refresh_token));
      assertProblem(await getUser(server, other.access_token), 403, 'session_not_found');
      assert.equal((await refresh(server, other.refresh_token)).status, 400);
      assertProblem(await signIn(server, account.email, account.password), 400, 'invalid_credentials');
      assertTokenResponse(await signIn(server, account.email, password));
    });

    test('keeps its password when the new one is weak or the same', async () => {
      const account = await newAccount(server);
      const change = (password) => call(server, 'PUT', '/auth/v1/user', { token: account.access_token, body: { password } });

      assertProblem(await change('short'), 422, 'weak_password');
      assertProblem(await change(account.password), 422, 'same_password');

      assertTokenResponse(await signIn(server, account.email, account.password));
    });

    test('refuses data that is no object', async () => {
      const account = await newAccount(server);
      for (const data of [[], 'text', 5, true]) {
        const answer = await call(server, 'PUT', '/auth/v1/user', { token: account.access_token, body: { data } });
        assertProblem(answer, 400, ['validation_failed', 'bad_json']);
      }
    });

    test('two changes of different members at once are both kept', async () => {
      const account = await newAccount(server);
      const put = (data) => call(server, 'PUT', '/auth/v1/user', { token: account.access_token, body: { data } });

      const answers = await Promise.all(Array.from({ length: 10 }, (_, i) => put({ [`member_${i}`]: i })));

      for (const { status } of answers) assert.equal(status, 200);
      const { user_metadata } = (await getUser(server, account.access_token)).json;
      for (let i = 0; i < 10; ++i) assert.equal(user_metadata[`member_${i}`], i);
    });
  });
});
