// @supabase/auth-js, unpatched, in pages of a real Chromium: served from an origin of their own, so that
// CORS is the browser's, with its localStorage, its tabs and its reloads.
import assert from 'node:assert/strict';
import { createHash, randomBytes, X509Certificate } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

const api = `${process.env.PAM_SDK_ORIGIN}/auth/v1`;
const modules = join(dirname(fileURLToPath(import.meta.url)), 'node_modules');
const browsers = ['/usr/bin/chromium-headless-shell', '/usr/bin/chromium'];
const newEmail = () => `page.${randomBytes(6).toString('hex')}@example.com`;
const newPassword = () => `Vz9-${randomBytes(9).toString('base64url')}`;

const page = (sdk) => `<!doctype html><title>an app</title>
<script type="importmap">{"imports": {"auth-js": "/${sdk}/dist/module/index.js", "tslib": "/tslib/tslib.es6.mjs",
  "@supabase/node-fetch": "/@supabase/node-fetch/browser.js"}}</script>
<script type="module">
import { AuthClient } from 'auth-js';
window.events = [];
window.client = new AuthClient({ url: ${JSON.stringify(api)}, storageKey: 'sb-auth', persistSession: true, autoRefreshToken: true,
  detectSessionInUrl: true, headers: { apikey: 'public', Authorization: 'Bearer public' } });
client.onAuthStateChange((event) => { events.push(event); });
await client.initialize();
window.isReady = true;
</script>`;

/** The app's own origin: its page, and the client library as npm installed it. */
function serveApp() {
  return createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    if (pathname.startsWith('/app/')) {
      response.setHeader('content-type', 'text/html');
      response.end(page(pathname.slice('/app/'.length)));
      return;
    }
    const file = [join(modules, normalize(pathname)), join(modules, `${normalize(pathname)}.js`)].find((name) => /\.m?js$/.test(name) && existsSync(name));
    response.statusCode = file ? 200 : 404;
    response.setHeader('content-type', 'text/javascript');
    response.end(file ? readFileSync(file) : '');
  });
}

for (const sdk of ['@supabase/auth-js', 'auth-js-older']) {
  describe(`${sdk} in Chromium`, { timeout: 180_000 }, () => {
    const app = serveApp();
    const profile = mkdtempSync(join(tmpdir(), 'pam-chromium-'));
    let browser;
    let url;

    before(async () => {
      const executablePath = browsers.find(existsSync);
      assert.ok(executablePath, `none of ${browsers.join(', ')} is installed`);
      await new Promise((listening) => app.listen(0, '127.0.0.1', listening));
      url = `http://localhost:${app.address().port}/app/${sdk}`;
      // The browser trusts this one key and nothing more.
      const { publicKey } = new X509Certificate(readFileSync(process.env.NODE_EXTRA_CA_CERTS));
      const pin = createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('base64');
      browser = await chromium.launchPersistentContext(profile, { executablePath, headless: true,
        args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync',
          '--no-first-run', `--ignore-certificate-errors-spki-list=${pin}`] });
    });
    after(async () => {
      await browser?.close();
      app.close();
      app.closeAllConnections?.();
      rmSync(profile, { recursive: true, force: true });
    });

    async function open() {
      const tab = await browser.newPage();
      await load(tab);
      return tab;
    }
    async function load(tab) {
      await tab.goto(url);
      await tab.waitForFunction('window.isReady');
    }
    /** Tabs of a browser in which a new user has just signed up; what was there before is forgotten. */
    async function signedUp(count = 1) {
      for (const old of browser.pages().slice(1)) await old.close();
      const first = await open();
      const account = { email: newEmail(), password: newPassword() };
      await first.evaluate(() => localStorage.clear());
      const error = await first.evaluate(async (who) => (await client.signUp(who)).error, account);
      assert.equal(error, null);
      const tabs = [first];
      while (tabs.length < count) tabs.push(await open());
      return { tabs, ...account };
    }
    const stored = (tab) => tab.evaluate(() => JSON.parse(localStorage.getItem('sb-auth')));
    const whoAmI = (tab) => tab.evaluate(async () => {
      const { data, error } = await client.getUser();
      return error ? `error ${error.status} ${error.code} ${error.message}` : data.user.email;
    });
    /** The stored access token claims to be over, so that auth-js acts. */
    const expire = (tab) => tab.evaluate(() => {
      const session = JSON.parse(localStorage.getItem('sb-auth'));
      localStorage.setItem('sb-auth', JSON.stringify({ ...session, expires_at: Math.floor(Date.now() / 1000) - 5 }));
    });
    const assertSignedIn = async (tabs, email) => {
      for (const tab of tabs) {
        assert.equal(await whoAmI(tab), email);
        assert.deepEqual(await tab.evaluate(() => events.filter((event) => event === 'SIGNED_OUT')), []);
      }
    };

    test('signs up, stores the session and reads the user from another origin', async () => {
      const { tabs: [tab], email } = await signedUp();

      assert.equal((await stored(tab)).user.email, email);
      assert.equal(await whoAmI(tab), email);
      assert.notEqual(new URL(url).origin, process.env.PAM_SDK_ORIGIN);
    });

    test('recovers the session after a reload without asking for another', async () => {
      const { tabs: [tab], email } = await signedUp();
      const { refresh_token } = await stored(tab);

      await load(tab);

      assert.ok(await tab.evaluate(async () => (await client.getSession()).data.session !== null));
      assert.equal((await stored(tab)).refresh_token, refresh_token);
      await assertSignedIn([tab], email);
    });

    test('refreshes an ended access token when it loads', async () => {
      const { tabs: [tab], email } = await signedUp();
      const { refresh_token } = await stored(tab);
      await expire(tab);

      await load(tab);

      assert.notEqual((await stored(tab)).refresh_token, refresh_token);
      await assertSignedIn([tab], email);
    });

    test('refreshes in six tabs at once, and all stay signed in', async () => {
      const { tabs, email } = await signedUp(6);

      for (let round = 0; round < 3; ++round) {
        await Promise.all(tabs.map((tab) => tab.evaluate(async () => void await client.refreshSession())));
      }

      await assertSignedIn(tabs, email);
    });

    test('reloads six tabs with an ended access token at once, and all stay signed in', async () => {
      const { tabs, email } = await signedUp(6);
      await expire(tabs[0]);

      await Promise.all(tabs.map(load));

      await assertSignedIn(tabs, email);
    });

    test('tells the other tabs of a sign-out', async () => {
      const { tabs } = await signedUp(3);

      assert.equal(await tabs[0].evaluate(async () => (await client.signOut()).error), null);

      for (const tab of tabs) {
        await tab.waitForFunction(() => events.includes('SIGNED_OUT'));
        assert.equal(await tab.evaluate(async () => (await client.getSession()).data.session), null);
      }
    });

    test('survives refresh answers that never arrive', async () => {
      const { tabs: [tab], email } = await signedUp();
      const before = await stored(tab);
      let lost = 0;
      await tab.route('**/token?grant_type=refresh_token', async (route) => {
        if (route.request().method() !== 'POST' || lost === 3) return route.fallback();
        const answer = await route.fetch(); // the server has rotated
        assert.equal(answer.status(), 200);
        lost += 1;
        return route.abort('connectionreset');
      });

      const error = await tab.evaluate(async () => (await client.refreshSession()).error);

      assert.equal(error, null);
      assert.equal(lost, 3);
      assert.notEqual((await stored(tab)).refresh_token, before.refresh_token);
      await assertSignedIn([tab], email);
    });

    test('keeps its session while it is offline', async () => {
      const { tabs: [tab], email } = await signedUp();
      await browser.setOffline(true);

      const error = await tab.evaluate(async () => (await client.getUser()).error?.name);
      await browser.setOffline(false);

      assert.equal(error, 'AuthRetryableFetchError');
      await assertSignedIn([tab], email);
    });

    test('sees the codes of errors and the headers that are meant for it', async () => {
      const { tabs: [tab] } = await signedUp();

      const error = await tab.evaluate(async () => {
        const { status, code } = (await client.signInWithPassword({ email: 'nobody@example.com', password: 'Vz9-wrong-one' })).error;
        return { status, code };
      });
      assert.deepEqual(error, { status: 400, code: 'invalid_credentials' });

      const seen = await tab.evaluate(async (base) => Promise.all([
        fetch(`${base}/nothing`), fetch(`${base}/signup`), fetch(`${base}/user`, { headers: { 'X-Supabase-Api-Version': '2024-01-01' } }),
        fetch(`${base}/signup`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: 'x'.repeat(70_000) }),
      ].map(async (sent) => {
        const { status, headers } = await sent;
        return [status, headers.get('x-sb-error-code'), headers.get('x-request-id')?.length, headers.get('x-supabase-api-version')];
      })), api);
      assert.deepEqual(seen, [[404, 'not_found', 26, null], [405, 'method_not_allowed', 26, null],
        [401, 'no_authorization', 26, '2024-01-01'], [413, 'request_entity_too_large', 26, null]]);
    });
  });
}
