// What guessing and flooding meet: limits by address, by subject and by account, and known devices.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { assertProblem, assertTokenResponse, call, getUser, metric, newAccount, newEmail, newPassword, refresh, signIn } from './support/client.mjs';
import { install } from './support/fleet.mjs';

const signInFrom = (server, account, headers) => call(server, 'POST', '/auth/v1/token?grant_type=password',
  { body: { email: account.email, password: account.password }, headers });

describe('limits', { timeout: 180_000 }, () => {
  let installation;
  let limited; // every address but none is limited
  let open; // loopback is not limited, as by default
  before(async () => {
    installation = await install();
    open = await installation.serve();
    limited = await installation.serve({ PAM_RATE_LIMITS__UNLIMITED: '', PAM_RATE_LIMITS__HASH_PER_MINUTE: '6',
      PAM_RATE_LIMITS__WRITE_PER_MINUTE: '60', PAM_RATE_LIMITS__READ_PER_MINUTE: '120' });
  });
  after(() => installation?.end());

  test('by address answer 429 with the time to wait, and never to a refresh', async () => {
    const account = await newAccount(open);
    // At once, so that nothing is refilled meanwhile.
    const answers = await Promise.all(Array.from({ length: 14 }, () => signIn(limited, newEmail(), newPassword())));

    const refused = answers.filter(({ status }) => status === 429);
    assert.ok(refused.length >= 6 && refused.length <= 8, `${refused.length} of 14`);
    for (const answer of answers.filter(({ status }) => status !== 429)) assertProblem(answer, 400, 'invalid_credentials');
    assertProblem(refused[0], 429, 'over_request_rate_limit');
    const wait = Number(refused[0].headers['retry-after']);
    assert.ok(wait >= 1 && wait <= 10, `${wait} s`);
    assert.equal(await metric(limited, 'pam_rate_limited_total', 'limit="address"'), refused.length);
    let token = account.refresh_token;
    for (let i = 0; i < 40; ++i) {
      const next = await refresh(limited, token);
      assertTokenResponse(next);
      token = next.json.refresh_token;
    }
    assert.equal((await call(limited, 'GET', '/health')).status, 200);
  });

  test('by address count each class of requests for itself', async () => {
    const account = await newAccount(open);
    const answers = await Promise.all(Array.from({ length: 40 }, () => getUser(limited, account.access_token)));

    assertProblem(answers.find(({ status }) => status !== 200), 429, 'over_request_rate_limit');
    assert.ok(answers.filter(({ status }) => status === 200).length >= 20);
  });

  test('spare networks that are configured so', async () => {
    const account = await newAccount(open);
    for (let i = 0; i < 30; ++i) assert.equal((await getUser(open, account.access_token)).status, 200);
  });

  test('by account make a stranger wait whatever his password, and let a known device in', async () => {
    const account = await newAccount(open);
    const first = await signInFrom(open, account);
    assertTokenResponse(first);
    const device = first.headers['x-pam-device'];
    assert.match(device, /^pamd1_[0-9a-f]{96}$/);
    assert.match(String(first.headers['set-cookie']),
      new RegExp(`^pam_device=${device}; Path=/auth/v1/token; Max-Age=\\d+; Secure; HttpOnly; SameSite=Lax$`));
    await installation.sql(`UPDATE accounts SET failed_count = 100, failed_since = now() - interval '1 hour' WHERE id = '${account.user.id}'`);

    const stranger = await signInFrom(open, account);
    const withHeader = await signInFrom(open, account, { 'x-pam-device': device });
    await installation.sql(`UPDATE accounts SET failed_count = 100, failed_since = now() - interval '1 hour' WHERE id = '${account.user.id}'`);
    const withCookie = await signInFrom(open, account, { cookie: `other=1; pam_device=${device}` });

    assertProblem(stranger, 400, 'invalid_credentials');
    for (const known of [withHeader, withCookie]) {
      assertTokenResponse(known);
      assert.equal(known.headers['set-cookie'], undefined);
    }
    assertTokenResponse(await signInFrom(open, account));
  });

  test('by account count in the row, in every process, and forget at the next success', async () => {
    const account = await newAccount(open);
    const failures = () => installation.sql(`SELECT failed_count FROM accounts WHERE id = '${account.user.id}'`);
    for (const server of [open, open, open]) assertProblem(await signIn(server, account.email, newPassword()), 400, 'invalid_credentials');
    assert.equal(await failures(), '3');

    assertTokenResponse(await signInFrom(open, account));

    assert.equal(await failures(), '0');
  });

  test('by subject are the same for addresses that exist and that do not', async () => {
    const account = await newAccount(open);
    const statuses = async (email) => {
      const answers = await Promise.all(Array.from({ length: 30 }, () => signIn(open, email, 'x-wrong-password')));
      return answers.map(({ status, json }) => `${status} ${json.error_code}`).sort();
    };

    const known = await statuses(account.email);
    const unknown = await statuses(newEmail());

    for (const each of [known, unknown]) {
      const refused = each.filter((text) => text.startsWith('429'));
      assert.ok(refused.length >= 5 && refused.length <= 10, `${refused.length} of 30`);
      assert.deepEqual([...new Set(each)], ['400 invalid_credentials', '429 over_request_rate_limit']);
    }
  });

  /** Signs strangers in from 12 loops until `work` is done; the statuses they got. */
  async function amidStrangers(server, from, work) {
    const statuses = [];
    let isDone = false;
    const loops = Array.from({ length: 12 }, async () => {
      while (!isDone) {
        const body = { email: newEmail(), password: newPassword() };
        statuses.push((await call(server, 'POST', '/auth/v1/token?grant_type=password', { body, from })).status);
      }
    });
    const stop = () => Promise.all(loops);
    try {
      const isRefused = () => statuses.includes(429) || statuses.includes(503);
      while (!isRefused() && statuses.length < 300) await new Promise((next) => setImmediate(next));
      await work();
    } finally {
      isDone = true;
      await stop();
    }
    return statuses;
  }

  test('by address leave room for passwords from other addresses', async () => {
    const server = await installation.serve({ PAM_RATE_LIMITS__UNLIMITED: '', PAM_RATE_LIMITS__HASH_PER_MINUTE: '60000', PAM_ADMISSION__HASH: '12' });
    const account = await newAccount(open);
    const body = { email: account.email, password: account.password };

    const strangers = await amidStrangers(server, '127.0.0.2', async () => {
      for (let i = 0; i < 5; ++i) assertTokenResponse(await call(server, 'POST', '/auth/v1/token?grant_type=password', { body, from: '127.0.0.3' }));
    });

    assert.deepEqual([...new Set(strangers)].sort(), [400, 429]);
    assert.ok(await metric(server, 'pam_rate_limited_total', 'limit="hash_share"') > 0);
  });

  test('let a known device go before strangers when the queue for passwords is full', async () => {
    const server = await installation.serve({ PAM_HASH__QUEUE_LIMIT: '1', PAM_HASH__THREADS: '1' });
    const account = await newAccount(open);
    const device = (await signInFrom(open, account)).headers['x-pam-device'];

    const strangers = await amidStrangers(server, '127.0.0.2', async () => {
      for (let i = 0; i < 5; ++i) assertTokenResponse(await signInFrom(server, account, { 'x-pam-device': device }));
    });

    assert.deepEqual([...new Set(strangers)].sort(), [400, 503]);
  });
});
