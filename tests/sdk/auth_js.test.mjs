// @supabase/auth-js from npm, unpatched, against the server: the newest release, and one that older apps ship.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, describe, test } from 'node:test';

import * as newest from '@supabase/auth-js';
import * as older from 'auth-js-older';

const origin = process.env.PAM_SDK_ORIGIN;
const url = `${origin}/auth/v1`;
const newEmail = () => `sdk.${randomBytes(6).toString('hex')}@example.com`;
const newPassword = () => `Vz9-${randomBytes(9).toString('base64url')}`;

function memoryStorage() {
  const items = new Map();
  return {
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => void items.set(key, value),
    removeItem: (key) => void items.delete(key),
    items,
  };
}

for (const [name, sdk] of Object.entries({ 'auth-js': newest, 'auth-js, older': older })) {
  describe(name, { timeout: 180_000 }, () => {
    const clients = [];
    /** A client as an app makes it; `storage` given twice makes two tabs of one browser. */
    function newClient(storage = memoryStorage(), options = {}) {
      const client = new sdk.AuthClient({ url, headers: { apikey: 'public', Authorization: 'Bearer public' },
        storageKey: `key-${randomBytes(4).toString('hex')}`, storage, persistSession: true, autoRefreshToken: false,
        detectSessionInUrl: false, ...options });
      clients.push(client);
      return client;
    }
    after(() => Promise.all(clients.map((client) => client.stopAutoRefresh())));

    /** A client that has just signed up. */
    async function signedUp(data) {
      const client = newClient();
      const [email, password] = [newEmail(), newPassword()];
      const result = await client.signUp({ email, password, options: { data } });
      assert.equal(result.error, null);
      return { client, email, password, ...result.data };
    }
    /** Another device of the same user. */
    async function signedIn({ email, password }) {
      const client = newClient();
      const { data, error } = await client.signInWithPassword({ email, password });
      assert.equal(error, null);
      return { client, ...data };
    }

    test('signs up and has a session', async () => {
      const { client, user, session, email } = await signedUp({ plan: 'free' });

      assert.equal(user.email, email);
      assert.equal(user.user_metadata.plan, 'free');
      assert.equal(session.token_type, 'bearer');
      assert.equal((await client.getSession()).data.session.access_token, session.access_token);
    });

    test('tells of a taken address by its code', async () => {
      const { email } = await signedUp();

      const { data, error } = await newClient().signUp({ email, password: newPassword() });

      assert.ok(sdk.isAuthApiError(error));
      assert.equal(error.code, 'user_already_exists');
      assert.equal(error.status, 422);
      assert.equal(data.session, null);
    });

    test('tells of a weak password with its reasons', async () => {
      const { error } = await newClient().signUp({ email: newEmail(), password: 'short' });

      assert.ok(sdk.isAuthWeakPasswordError(error));
      assert.deepEqual(error.reasons, ['length']);
      assert.equal(error.code, 'weak_password');
    });

    test('signs in by password and says so', async () => {
      const account = await signedUp();
      const client = newClient();
      const events = [];
      client.onAuthStateChange((event) => void events.push(event));

      const { data, error } = await client.signInWithPassword({ email: account.email, password: account.password });

      assert.equal(error, null);
      assert.equal(data.user.id, account.user.id);
      assert.ok(events.includes('SIGNED_IN'));
    });

    test('tells of wrong credentials by their code', async () => {
      const { email } = await signedUp();

      const { data, error } = await newClient().signInWithPassword({ email, password: newPassword() });

      assert.ok(sdk.isAuthApiError(error));
      assert.equal(error.code, 'invalid_credentials');
      assert.equal(error.status, 400);
      assert.equal(data.user, null);
    });

    test('tells of what is off by its code', async () => {
      const { error: anonymous } = await newClient().signInAnonymously();
      assert.equal(anonymous.code, 'anonymous_provider_disabled');

      const { error: phone } = await newClient().signInWithPassword({ phone: '+4915112345678', password: newPassword() });
      assert.equal(phone.code, 'phone_provider_disabled');
    });

    test('refreshes its session', async () => {
      const { client, session } = await signedUp();

      const { data, error } = await client.refreshSession();

      assert.equal(error, null);
      assert.notEqual(data.session.refresh_token, session.refresh_token);
      assert.equal((await client.getUser()).error, null);
    });

    test('refreshes one session in two places at once, and both stay signed in', async () => {
      const { session } = await signedUp();
      const places = [newClient(), newClient()];

      const results = await Promise.all(places.map((place) => place.refreshSession({ refresh_token: session.refresh_token })));

      for (const { error } of results) assert.equal(error, null);
      assert.equal(results[0].data.session.refresh_token, results[1].data.session.refresh_token);
      for (const place of places) assert.equal((await place.getUser()).error, null);
    });

    test('refreshes in two tabs with one storage at once, and both stay signed in', async () => {
      const storage = memoryStorage();
      const storageKey = `tabs-${randomBytes(4).toString('hex')}`;
      const tabs = [newClient(storage, { storageKey }), newClient(storage, { storageKey })];
      await tabs[0].signUp({ email: newEmail(), password: newPassword() });

      // A tab may discard its answer when the other one stored the same successor first; it must not sign out.
      await Promise.all(tabs.map((tab) => tab.refreshSession()));

      for (const tab of tabs) assert.equal((await tab.getUser()).error, null);
    });

    test('refreshes by itself before the token expires', async () => {
      const storage = memoryStorage();
      const storageKey = `auto-${randomBytes(4).toString('hex')}`;
      const first = newClient(storage, { storageKey });
      const { data } = await first.signUp({ email: newEmail(), password: newPassword() });
      // The stored session claims to end within the minute: time for auth-js to act.
      const stored = JSON.parse(storage.getItem(storageKey));
      storage.setItem(storageKey, JSON.stringify({ ...stored, expires_at: Math.floor(Date.now() / 1000) + 60 }));

      const client = newClient(storage, { storageKey, autoRefreshToken: true });
      const refreshed = await new Promise((done, fail) => {
        // auth-js lets the process end while it waits; this timer does not.
        const limit = setTimeout(() => fail(new Error('no TOKEN_REFRESHED event')), 60_000);
        client.onAuthStateChange((event, session) => {
          if (event !== 'TOKEN_REFRESHED') return;
          clearTimeout(limit);
          done(session);
        });
      });

      assert.notEqual(refreshed.refresh_token, data.session.refresh_token);
      assert.equal(refreshed.user.id, data.user.id);
    });

    test('is signed out by a refresh token that is not ours, and by nothing less', async () => {
      const { client, session } = await signedUp();
      const other = newClient();

      const { error } = await other.refreshSession({ refresh_token: 'not-a-token' });

      assert.ok(sdk.isAuthApiError(error));
      assert.equal(error.code, 'refresh_token_not_found');
      assert.equal(error.status, 400);
      assert.equal((await client.getSession()).data.session.refresh_token, session.refresh_token);
    });

    test('restores a session from its tokens', async () => {
      const { session, user } = await signedUp();
      const client = newClient();

      const { data, error } = await client.setSession({ access_token: session.access_token, refresh_token: session.refresh_token });

      assert.equal(error, null);
      assert.equal(data.user.id, user.id);
    });

    test('reads the user', async () => {
      const { client, user } = await signedUp();

      const { data, error } = await client.getUser();

      assert.equal(error, null);
      assert.equal(data.user.id, user.id);
      assert.equal(data.user.identities.length, 1);
      const { data: linked } = await client.getUserIdentities();
      assert.equal(linked.identities[0].provider, 'email');
    });

    test('changes data and has it in the session', async () => {
      const { client } = await signedUp({ keep: 1, drop: 2 });

      const { data, error } = await client.updateUser({ data: { drop: null, added: 'ä' } });

      assert.equal(error, null);
      assert.equal(data.user.user_metadata.keep, 1);
      assert.equal(data.user.user_metadata.added, 'ä');
      assert.ok(!('drop' in data.user.user_metadata));
      assert.equal((await client.getSession()).data.session.user.user_metadata.added, 'ä');
    });

    test('changes the password; other devices are signed out', async () => {
      const account = await signedUp();
      const other = await signedIn(account);
      const password = newPassword();

      const { error } = await account.client.updateUser({ password });

      assert.equal(error, null);
      assert.equal((await account.client.getUser()).error, null);
      const { error: gone } = await other.client.getUser();
      assert.ok(gone instanceof sdk.AuthSessionMissingError);
      assert.equal((await newClient().signInWithPassword({ email: account.email, password: account.password })).error.code,
        'invalid_credentials');
      assert.equal((await newClient().signInWithPassword({ email: account.email, password })).error, null);
    });

    test('tells of a weak or equal new password', async () => {
      const { client, password } = await signedUp();

      assert.ok(sdk.isAuthWeakPasswordError((await client.updateUser({ password: 'short' })).error));
      assert.equal((await client.updateUser({ password })).error.code, 'same_password');
    });

    for (const [scope, keepsThis, keepsOther] of [['global', false, false], ['local', false, true], ['others', true, false]]) {
      test(`signs out with scope ${scope}`, async () => {
        const account = await signedUp();
        const other = await signedIn(account);

        const { error } = await account.client.signOut({ scope });

        assert.equal(error, null);
        assert.equal((await account.client.getSession()).data.session !== null, keepsThis);
        const isAlive = async (token) => (await newClient().getUser(token)).error === null;
        assert.equal(await isAlive(account.session.access_token), keepsThis);
        assert.equal(await isAlive(other.session.access_token), keepsOther);
        const { error: refused } = await newClient().refreshSession({ refresh_token: other.session.refresh_token });
        assert.equal(refused === null, keepsOther);
      });
    }

    test('calls an ended session missing', async () => {
      const { client, session } = await signedUp();
      await newClient().admin.signOut(session.access_token, 'global');

      const { error } = await client.getUser();

      assert.ok(error instanceof sdk.AuthSessionMissingError);
    });

    test('tells of a broken token by its code', async () => {
      const { error } = await newClient().getUser('a.b.c');

      assert.equal(error.status, 403);
      assert.equal(error.code, 'bad_jwt');
    });
  });
}
