// Key rotation with several processes: nobody is signed out (R12). Sealed key files.
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { assertProblem, assertTokenResponse, call, getUser, newAccount, refresh } from './support/client.mjs';
import { command, install } from './support/fleet.mjs';
import { until } from './support/server.mjs';

const headerOf = (token) => JSON.parse(Buffer.from(token.split('.')[0], 'base64url').toString('utf8'));
const keyIdOf = (refreshToken) => Buffer.from(refreshToken.slice(6), 'base64url').readUIntBE(1, 3);

describe('keys', { timeout: 240_000 }, () => {
  let installation;
  let servers;
  before(async () => {
    installation = await install();
    servers = [await installation.serve(), await installation.serve()];
  });
  after(() => installation?.end());

  const keyFile = () => JSON.parse(readFileSync(installation.keys, 'utf8')).keys;
  const kidsOf = async (server) => (await call(server, 'GET', '/.well-known/jwks.json')).json.keys.map(({ kid }) => kid).sort();
  async function reload() {
    for (const server of servers) {
      const ends = () => server.output.all.match(/"event":"(reloaded|reload_refused)"/g)?.length ?? 0;
      const before = ends();
      server.reload();
      await until(() => ends() > before, 'the reload in the log');
    }
  }

  test('of every use rotate under running processes, and after restarts, without signing anybody out', async () => {
    const accounts = [];
    for (let i = 0; i < 6; ++i) accounts.push(await newAccount(servers[i % 2]));
    const machine = await installation.machineToken();
    const parents = accounts.map((each) => each.refresh_token);

    // Two whole rotations: tokens of the first keys meet processes that sign with the third.
    for (let round = 0; round < 2; ++round) {
      const old = headerOf(accounts[0].access_token).kid;
      const rotated = await command(['keys', 'rotate', installation.keys, '--lead', '6s']);
      assert.equal(rotated.code, 0, rotated.all);
      assert.equal(rotated.out.match(/^added /gm).length, 3, rotated.out);
      assert.equal(statSync(installation.keys).mode & 0o777, 0o600);
      await reload();
      // Published, before it signs, by every process.
      for (const server of servers) assert.equal((await kidsOf(server)).length, 2 + round);

      // Everybody goes on while the moment passes, each time at the other process.
      let turn = 0;
      await until(async () => {
        for (const each of accounts) {
          const next = await refresh(servers[++turn % 2], each.refresh_token);
          assertTokenResponse(next);
          Object.assign(each, next.json);
          assert.equal((await getUser(servers[(turn + 1) % 2], each.access_token)).status, 200);
        }
        return accounts.every((each) => headerOf(each.access_token).kid !== old);
      }, 'the new keys to sign', 30);
    }

    assert.ok(accounts.every((each, i) => keyIdOf(each.refresh_token) !== keyIdOf(parents[i])));
    const restarted = await installation.serve();
    for (const each of accounts) {
      assert.equal((await getUser(restarted, each.access_token)).status, 200);
      assertTokenResponse(await refresh(restarted, each.refresh_token));
    }
    assert.equal((await call(restarted, 'POST', '/auth/v1/admin/logout_all', { token: machine })).status, 200);
  });

  test('that were rotated twice still repeat a lost answer', async () => {
    const account = await newAccount(servers[0]);
    const lost = await refresh(servers[0], account.refresh_token);
    for (let round = 0; round < 2; ++round) {
      // No lead: the one process of this test loads them before anything else happens.
      assert.equal((await command(['keys', 'rotate', installation.keys, '--lead', '0s'])).code, 0);
      await reload();
    }

    const again = await refresh(servers[1], account.refresh_token);

    assertTokenResponse(again);
    assert.equal(again.json.refresh_token, lost.json.refresh_token);
    assertTokenResponse(await refresh(servers[0], again.json.refresh_token));
  });

  test('are listed without their secrets', async () => {
    const listed = await command(['keys', 'list', installation.keys]);

    assert.equal(listed.code, 0, listed.all);
    assert.match(listed.out, /^user\tcurrent\tES256\t\S+/m);
    assert.match(listed.out, /^refresh\tprevious\tHMAC-SHA256\t\d+\tretired /m);
    for (const key of keyFile()) {
      for (const secret of [key.d, key.k].filter(Boolean)) assert.ok(!listed.all.includes(secret));
    }
  });

  test('that are pruned too early stay', async () => {
    const before = keyFile().length;
    const pruned = await command(['keys', 'prune', installation.keys]);

    assert.equal(pruned.code, 0, pruned.all);
    assert.equal(keyFile().length, before);
    await reload();
    const account = await newAccount(servers[0]);
    assertTokenResponse(await refresh(servers[1], account.refresh_token));
  });

  test('that cannot be read leave the old ones in use', async () => {
    const account = await newAccount(servers[0]);
    const broken = installation.withBrokenKeys();
    await reload();

    assert.match(servers[0].output.all, /"event":"reload_refused","key":"keys\.file"/);
    assertTokenResponse(await refresh(servers[0], account.refresh_token));
    broken.restore();
    await reload();
  });

  test('that are removed take their tokens with them at the next request', async () => {
    const account = await newAccount(servers[0]);
    assert.equal((await getUser(servers[0], account.access_token)).status, 200);
    assert.equal((await getUser(servers[0], account.access_token)).status, 200, 'verified before');
    const kept = readFileSync(installation.keys, 'utf8');
    assert.equal((await command(['keys', 'rotate', installation.keys, '--use', 'user', '--lead', '0s'])).code, 0);
    installation.replaceKeys((keys) => {
      const { pam_signs_from: _, ...fresh } = keys.filter((key) => key.pam_use === 'user').at(-1);
      return [...keys.filter((key) => key.pam_use !== 'user'), { ...fresh, pam_state: 'current' }];
    });
    await reload();

    assertProblem(await getUser(servers[0], account.access_token), 403, 'bad_jwt');
    const next = await refresh(servers[0], account.refresh_token);
    assertTokenResponse(next);
    installation.replaceKeys(() => JSON.parse(kept).keys);
    await reload();
  });

  test('rest sealed under a key-encryption key from a file or a command', async () => {
    const kek = join(installation.folder, 'kek.json');
    const account = await newAccount(servers[0]);
    assert.equal((await command(['keys', 'generate-encryption-key', kek])).code, 0);
    const sealed = await command(['keys', 'seal', installation.keys, '--encryption-key', kek]);
    assert.equal(sealed.code, 0, sealed.all);
    assert.match(readFileSync(installation.keys, 'utf8'), /^pam-sealed-keys-v1\n[\w-]+\n$/);

    const without = await command(['token', '--config', installation.config, '--role', 'service_role', '--ttl', '1h']);
    assert.ok(without.code > 0);
    assert.match(without.err, /keys\.encryption_key_file/);
    const byFile = await installation.serve({ PAM_KEYS__ENCRYPTION_KEY_FILE: kek });
    const byCommand = await installation.serve({ PAM_KEYS__ENCRYPTION_KEY_COMMAND: `cat ${kek}` });
    const next = await refresh(byFile, account.refresh_token);
    assertTokenResponse(next);
    assertTokenResponse(await refresh(byCommand, next.json.refresh_token));

    const rotated = await command(['keys', 'rotate', installation.keys, '--encryption-key', kek, '--lead', '1h']);
    assert.equal(rotated.code, 0, rotated.all);
    assert.match(readFileSync(installation.keys, 'utf8'), /^pam-sealed-keys-v1\n/, 'a sealed file stays sealed');
    assert.ok((await command(['keys', 'list', installation.keys])).code > 0);
    assert.equal((await command(['keys', 'unseal', installation.keys, '--encryption-key', kek])).code, 0);
    assert.equal((await command(['keys', 'list', installation.keys])).code, 0);
  });
});
