// Before it serves, a server counts: database connections against what PostgreSQL or the pooler grants, client
// connections against its descriptors.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

import { install } from './support/installation.mjs';
import { quickStop, run, until } from './support/server.mjs';

const told = (server, event) => server.output.all.split('\n').filter((line) => line.includes(`"event":"${event}"`)).map(JSON.parse);

describe('a server that starts', { timeout: 60_000 }, () => {
  let it;
  before(async () => (it = await install({ toml: { server: ['shards = 2'] } })));
  after(() => it?.stop());

  const direct = () => ({ PAM_DATABASE__HOSTS: `${it.database.socket_dir}:${it.database.pg_port}`,
    PAM_DATABASE__DATABASE: it.database.database });
  const sql = (text) => promisify(execFile)('psql', ['-XAtq', '-h', it.database.socket_dir, '-p', String(it.database.pg_port),
    '-U', 'postgres', '-d', it.database.database, '-c', text]);
  /** What `serve` says when it does not start. */
  async function refusal(env, launch) {
    const { exited, output } = run(['serve', '--config', it.config], env, launch);
    assert.equal((await exited).code, 1, output.all);
    return output.err;
  }

  test('says how many connections it opens when they fit', async () => {
    const server = await it.serve({ env: { ...quickStop, PAM_DATABASE__LEASES: '1' } });
    await server.stop();

    const [said] = told(server, 'pools_fit');
    assert.deepEqual([said?.connections, said?.at_take_over], [4, 8], server.output.all);
  });

  test('warns when more connections than the pool has places would wait in the pooler', async () => {
    const server = await it.serve({ env: { ...quickStop, PAM_DATABASE__LEASES: '64' } });
    await server.stop();

    const [said] = told(server, 'pools_wait');
    assert.match(said?.detail ?? server.output.all, /= 130 connections, but PgBouncer has a pool of \d+: set database\.leases to \d, or raise pool_size to 130$/);
  });

  test('warns of a queue with fewer places than admission lets in', async () => {
    const server = await it.serve({ env: { ...quickStop, PAM_DATABASE__QUEUE_LIMIT: '4096' } });
    await server.stop();

    const [said] = told(server, 'queue_short');
    assert.deepEqual([said?.queue_limit, said?.admitted], [4096, 8192], server.output.all);
    assert.match(said.detail, /set database\.queue_limit to 8192, or lower/);
  });

  test('refuses when its pools and those of its successors exceed what PostgreSQL grants', async () => {
    const said = await refusal({ ...direct(), PAM_SERVER__PROCESSES: '30' });

    assert.match(said, /^pam-auth: the database pools do not fit: 30 processes x 2 shards x \(1 pipeline \+ 4 leases\) = 300 connections, 600 while successors take over, with 3 of commands \(maintain, migrate\) 603, but PostgreSQL grants max_connections \d+ - 3 reserved = \d+: .*raise max_connections to 606\n$/);
  });

  test('refuses when the pooler takes fewer clients', async () => {
    const said = await refusal({ PAM_SERVER__PROCESSES: '1000' });

    assert.match(said, /1000 processes x 2 shards .* but PgBouncer takes max_client_conn \d+: raise max_client_conn to 24000\n$/);
  });

  test('takes a connection limit of its role into account', async () => {
    const alter = (limit) => sql(`ALTER ROLE pam_app CONNECTION LIMIT ${limit}`);
    await alter(19);
    try {
      const said = await refusal(direct());

      assert.match(said, /= 10 connections, 20 while successors take over, but the role pam_app has a CONNECTION LIMIT of 19: set database\.leases to 3, or raise it \(ALTER ROLE\) to 20\n$/);
    } finally {
      await alter(-1);
    }
  });

  test('starts with a warning when the pooler does not say what it grants, or nobody is there', async () => {
    const server = await it.serve({ env: { ...quickStop, PAM_DATABASE__ADMIN_DATABASE: 'nobody' } });
    await server.stop();
    assert.equal(told(server, 'pools_unchecked').length, 1, server.output.all);

    const alone = await it.serve({ env: { ...quickStop, PAM_DATABASE__HOSTS: '127.0.0.1:1' } });
    await alone.stop();
    assert.equal(told(alone, 'pools_unchecked').length, 1, alone.output.all);
  });

  test('takes no more clients than its descriptors allow, and says so', async () => {
    const server = await it.serve({ env: quickStop, through: ['prlimit', '--nofile=1000'] });

    server.kill('SIGHUP');
    await until(() => told(server, 'reloaded').length, 'the reload');
    await server.stop();

    const [said] = told(server, 'connections_lowered');
    assert.deepEqual([said?.configured, said?.connections, said?.descriptors], [15_000, 413, 1_000], server.output.all);
    assert.deepEqual(told(server, 'needs_restart'), [], 'a reload finds nothing that was changed');
  });

  test('refuses when not even a few clients have descriptors', async () => {
    const said = await refusal({}, { through: ['prlimit', '--nofile=150'] });

    assert.match(said, /^pam-auth: the limit of open descriptors \(RLIMIT_NOFILE\) is 150, but 2 shards need 206 at least: set LimitNOFILE \(ulimit -n\) to 30174 /);
  });
});
