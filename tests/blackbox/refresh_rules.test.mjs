// Every branch of the judgement of a refresh token that is not simply the current one, over HTTPS. What time
// or a restore would do to the session's row is done to it by SQL.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { assertProblem, assertTokenResponse, claimsOf, getUser, metric, newAccount, refresh } from './support/client.mjs';
import { install } from './support/fleet.mjs';

const bytesOf = (refreshToken) => Buffer.from(refreshToken.slice('pamr1_'.length), 'base64url');
const textOf = (bytes) => `pamr1_${bytes.toString('base64url')}`;

describe('the rules of a refresh', { timeout: 180_000 }, () => {
  let installation;
  let server;
  let strict;
  before(async () => {
    installation = await install();
    server = await installation.serve();
    strict = await installation.serve({ PAM_TOKENS__REUSE_INTERVAL: '0s', PAM_TOKENS__LOST_RESPONSE_WINDOW: '0s' });
  });
  after(() => installation?.end());

  const where = (session) => `WHERE id = '${claimsOf(session.access_token).session_id}'`;
  const row = (session, columns) => installation.sql(`SELECT ${columns} FROM sessions ${where(session)}`);
  const age = (session, interval) => installation.sql(
    `UPDATE sessions SET refreshed_at = refreshed_at - interval '${interval}' ${where(session)}`);
  const outcomes = (outcome) => metric(server, 'pam_auth_refreshes_total', `outcome="${outcome}"`);
  /** A session and its refresh tokens after `count` rotations, the oldest first. */
  async function rotated(count, at = server) {
    const session = await newAccount(at);
    const tokens = [session.refresh_token];
    for (let i = 0; i < count; ++i) {
      const next = await refresh(at, tokens.at(-1));
      assertTokenResponse(next);
      tokens.push(next.json.refresh_token);
    }
    return { session, tokens };
  }
  async function assertTheft(session, tokens, old, at = server) {
    assertProblem(await refresh(at, old), 400, 'refresh_token_already_used');
    assertProblem(await refresh(at, tokens.at(-1)), 400, 'session_not_found');
    assertProblem(await getUser(at, session.access_token), 403, 'session_not_found');
    assert.equal(await row(session, 'revoke_reason'), '2');
  }
  async function assertRepeats(old, current) {
    const answer = await refresh(server, old);
    assertTokenResponse(answer);
    assert.equal(answer.json.refresh_token, current);
  }

  test('the parent within the reuse interval is repeated as often as it is asked for', async () => {
    const { session, tokens } = await rotated(1);
    await age(session, '5 seconds');

    for (let i = 0; i < 5; ++i) await assertRepeats(tokens[0], tokens[1]);

    assert.equal(await row(session, 'repeats, generation'), '0|1');
  });

  test('the parent within the lost-response window is repeated three times, and then is theft', async () => {
    const { session, tokens } = await rotated(1);
    await age(session, '60 seconds');

    for (let i = 0; i < 3; ++i) await assertRepeats(tokens[0], tokens[1]);

    assert.equal(await row(session, 'repeats, generation'), '3|1');
    await assertTheft(session, tokens, tokens[0]);
  });

  test('a use of the successor gives the window back its repeats', async () => {
    const { session, tokens } = await rotated(1);
    await age(session, '60 seconds');
    await assertRepeats(tokens[0], tokens[1]);

    assertTokenResponse(await refresh(server, tokens[1]));

    assert.equal(await row(session, 'repeats, generation'), '0|2');
  });

  test('the parent after the window is theft', async () => {
    const { session, tokens } = await rotated(1);
    await age(session, '6 minutes');

    await assertTheft(session, tokens, tokens[0]);
  });

  test('two generations back are several tabs within the reuse interval, and theft after it', async () => {
    const tabs = await rotated(2);
    await assertRepeats(tabs.tokens[0], tabs.tokens[2]);

    await age(tabs.session, '15 seconds');
    await assertTheft(tabs.session, tabs.tokens, tabs.tokens[0]);
  });

  test('three generations back are theft at once', async () => {
    const { session, tokens } = await rotated(3);

    await assertTheft(session, tokens, tokens[0]);
  });

  test('a token ahead of a restored row is believed, and the row catches up', async () => {
    const { session, tokens } = await rotated(1);
    const saved = await row(session, "generation || ',' || encode(refresh_token, 'hex')");
    const [generation, hash] = saved.split(',');
    let newest = tokens[1];
    for (let i = 0; i < 4; ++i) newest = (await refresh(server, newest)).json.refresh_token;
    await installation.sql(`UPDATE sessions SET generation = ${generation}, refresh_token = decode('${hash}', 'hex') ${where(session)}`);
    const before = await outcomes('resynced');

    const answer = await refresh(server, newest);

    assertTokenResponse(answer);
    assert.equal(await outcomes('resynced'), before + 1);
    assert.equal(await row(session, 'generation'), '6');
    assertTokenResponse(await refresh(server, answer.json.refresh_token));
  });

  test('a token made with a stolen refresh key, but without the session\'s salt, learns and changes nothing', async () => {
    const { session, tokens } = await rotated(1);
    const key = JSON.parse(readFileSync(installation.keys, 'utf8')).keys.find(({ pam_use }) => pam_use === 'refresh');
    const before = await row(session, 'sessions::text');
    const alarms = await outcomes('unproven_salt');
    for (const generation of [0, 1, 2, 900]) {
      const forged = bytesOf(tokens[1]);
      forged.writeUInt32BE(generation, 36);
      forged.fill(0x42, 40, 56);
      const mac = createHmac('sha256', Buffer.from(key.k, 'base64url'))
        .update('pam refresh v1').update(forged.subarray(40, 56)).update(forged.subarray(4, 40)).digest();
      mac.copy(forged, 56, 0, 16);

      assertProblem(await refresh(server, textOf(forged)), 400, 'refresh_token_not_found');
    }

    assert.equal(await outcomes('unproven_salt'), alarms + 4);
    assert.equal(await row(session, 'sessions::text'), before);
    assertTokenResponse(await refresh(server, tokens[1]));
  });

  test('the idle and the absolute end are final, for refresh and access tokens', async () => {
    for (const change of ["expires_at = now() - interval '1 second'",
      "expires_at = now() - interval '1 second', absolute_expires_at = now() - interval '1 second'"]) {
      const { session, tokens } = await rotated(1);
      await installation.sql(`UPDATE sessions SET ${change} ${where(session)}`);

      assertProblem(await refresh(server, tokens[1]), 400, 'session_expired');
      assertProblem(await refresh(server, tokens[0]), 400, 'session_expired');
      assertProblem(await getUser(server, session.access_token), 403, 'session_not_found');
    }
  });

  test('a refresh moves the idle end, never beyond the absolute one', async () => {
    const { session, tokens } = await rotated(0);
    await installation.sql(`UPDATE sessions SET expires_at = now() + interval '1 minute',
      absolute_expires_at = now() + interval '1 hour' ${where(session)}`);

    assertTokenResponse(await refresh(server, tokens[0]));

    assert.equal(await row(session, 'expires_at = absolute_expires_at'), 't');
  });

  test('strictly, every second use is theft', async () => {
    const { session, tokens } = await rotated(1, strict);

    await assertTheft(session, tokens, tokens[0], strict);
  });
});
