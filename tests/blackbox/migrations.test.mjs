// Nobody notices a migration: people sign up, refresh and sign in over HTTPS while the schema goes down, one
// migration at a time, to what the server cannot live without, and up again.
//
// PAM_TEST_MIGRATION_ROUNDS  how often it goes down and up (default 2)
// PAM_TEST_ACCOUNTS          accounts that are there before (default 20,000)
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { assertTokenResponse, forget, newAccount, refresh, signIn } from './support/client.mjs';
import { command, install } from './support/fleet.mjs';
import { until } from './support/server.mjs';

const rounds = Number(process.env.PAM_TEST_MIGRATION_ROUNDS ?? 2);
const accounts = Number(process.env.PAM_TEST_ACCOUNTS ?? 20_000);
const people = 12;
// Migration 19 makes token_cut, which every process reads; what comes later can be missing.
const floor = 19;

const percentile = (values, share) => [...values].sort((a, b) => a - b)[Math.floor(share * (values.length - 1))];

describe('while the schema changes', { timeout: 900_000 }, () => {
  let site;
  let server;
  let direct;
  before(async () => {
    site = await install();
    server = await site.serve();
    direct = { PAM_MIGRATE__HOST: site.database.socket_dir, PAM_MIGRATE__PORT: String(site.database.pg_port),
      PAM_MIGRATE__DATABASE: site.database.database, PAM_MIGRATE__USER: 'postgres' };
    await site.sql(`WITH a AS (INSERT INTO accounts (id, email) SELECT uuid7(), 'there' || n || '@example.com'
      FROM generate_series(1, ${accounts}) n RETURNING id, email)
      INSERT INTO claims SELECT 'email', email, id, now() FROM a`);
    await underLoad((seen) => answers(seen, 100));
  });
  after(async () => site?.end());

  const migrate = async (...args) => {
    const done = await command(['migrate', ...args, '--config', site.config], direct);
    assert.equal(done.code, 0, done.all);
  };

  /** People at work until `work` has ended: what they saw. */
  async function underLoad(work) {
    const seen = { milliseconds: [], refreshes: [], failures: [] };
    let isOver = false;
    const timed = async (what, ask) => {
      const begin = performance.now();
      try {
        return await ask();
      } catch (failure) {
        seen.failures.push(`${what}: ${failure.code ?? ''} ${failure.message}`);
      } finally {
        seen.milliseconds.push(performance.now() - begin);
        if (what === 'refresh') seen.refreshes.push(performance.now() - begin);
      }
    };
    const person = async () => {
      const self = { ...server };
      while (!isOver) {
        const account = await timed('sign-up', () => newAccount(self));
        let token = account?.refresh_token;
        for (let i = 0; i < 10 && token && !isOver; ++i) {
          token = await timed('refresh', async () => {
            const answer = await refresh(self, token);
            assertTokenResponse(answer);
            return answer.json.refresh_token;
          });
        }
        if (account) await timed('sign-in', async () => assertTokenResponse(await signIn(self, account.email, account.password)));
      }
      forget(self);
    };
    const working = Promise.all(Array.from({ length: people }, person));
    try {
      await work(seen);
    } finally {
      isOver = true;
      await working;
    }
    return seen;
  }

  const answers = (seen, more) => {
    const wanted = seen.milliseconds.length + more;
    return until(() => seen.milliseconds.length >= wanted, `${more} answers`);
  };

  test('nobody who signs up, refreshes or signs in notices', async (t) => {
    const newest = Number(await site.sql('SELECT max(version) FROM schema_migrations'));
    assert.ok(newest > floor);
    const quiet = await underLoad((seen) => answers(seen, 600 * rounds));

    const busy = await underLoad(async (seen) => {
      for (let round = 0; round < rounds; ++round) {
        for (let version = newest - 1; version >= floor; --version) {
          // The heartbeats of this very server forbid it; the operator knows better.
          await migrate('down', '--to', String(version), '--allow-contract');
          await answers(seen, 50);
        }
        for (let version = floor + 1; version <= newest; ++version) {
          await migrate('up', '--to', String(version));
          await answers(seen, 50);
        }
      }
    });

    const [before_, during] = [quiet, busy].map((seen) => percentile(seen.refreshes, 0.99));
    t.diagnostic(`${busy.milliseconds.length} answers during ${rounds * 2 * (newest - floor)} migrations, ` +
      `${busy.failures.length} failed; p99 of a refresh ${during.toFixed(1)} ms, ${before_.toFixed(1)} ms without: ` +
      `ratio ${(during / before_).toFixed(2)}`);
    assert.deepEqual(quiet.failures, []);
    assert.deepEqual(busy.failures, []);
    await migrate('verify');
  });

  test('a server that lives forbids to take away what it uses', async () => {
    const refused = await command(['migrate', 'down', '--to', String(floor), '--config', site.config], direct);

    assert.ok(refused.code > 0);
    assert.match(refused.err, /still runs/);
  });
});
