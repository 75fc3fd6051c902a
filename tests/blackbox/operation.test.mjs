// What an operator relies on: probes, metrics, logs, crashes, stops, restarts, and errors at start.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { assertProblem, assertTokenResponse, call, callInternal, claimsOf, forget, getUser, logOut, metric, newAccount, newEmail,
  newPassword, newSession, refresh, signIn, signUp } from './support/client.mjs';
import { connect } from './support/raw.mjs';
import { quickStop, run, startServer, temporaryFolder, until } from './support/server.mjs';

/** Backends and helpers of a postmaster. */
const childrenOf = (pid) => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);

describe('the internal port', { timeout: 120_000 }, () => {
  let server;
  before(async () => (server = await startServer({ env: quickStop })));
  after(async () => {
    forget(server);
    await server?.stop();
  });

  test('says that the server lives and is ready', async () => {
    assert.equal((await callInternal(server, '/livez')).status, 200);
    assert.equal((await callInternal(server, '/readyz')).status, 200);
    assert.equal((await callInternal(server, '/nothing')).status, 404);
  });

  test('counts statements and requests in the Prometheus format', async () => {
    const { headers, text } = await callInternal(server, '/metrics');

    assert.match(headers['content-type'], /^text\/plain; version=0\.0\.4/);
    for (const line of text.trimEnd().split('\n')) {
      assert.match(line, /^(# (HELP|TYPE) [A-Za-z_:][\w:]* .+|[A-Za-z_:][\w:]*(\{([A-Za-z_]\w*="([^"\\]|\\.)*",?)*\})? (NaN|[+-]?Inf|[-+.\deE]+))$/);
    }
    const before = await metric(server, 'pam_db_statements_total');
    await newAccount(server);
    assert.ok(await metric(server, 'pam_db_statements_total') > before);
  });

  test('counts its open descriptors', async () => {
    const held = await Promise.all(Array.from({ length: 20 }, () => connect(server)));

    // The request for the metrics is a descriptor more at that moment, and another may just be closing.
    const said = await metric(server, 'process_open_fds');
    const seen = readdirSync(`/proc/${server.pids.server}/fd`).length;

    held.forEach((socket) => socket.destroy());
    assert.ok(seen > 20 && Math.abs(said - seen) <= 5, `said ${said}, open are ${seen}`);
  });

  test('keeps the number of its series bounded, whatever is asked for', async () => {
    const series = async () => (await callInternal(server, '/metrics')).text.split('\n').length;
    await call(server, 'GET', '/nothing');
    const before = await series();

    for (let i = 0; i < 50; ++i) await call(server, 'GET', `/nothing/${i}?x=${i}`, { headers: { 'user-agent': `agent ${i}` } });

    assert.equal(await series(), before);
  });
});

describe('logs', { timeout: 120_000 }, () => {
  test('never tell a password, a token, a hash or a whole address', async () => {
    const server = await startServer({ env: { ...quickStop, PAM_LOG__LEVEL: 'debug' } });
    const account = await newAccount(server, { data: { note: 'planted-metadata-8c1f' } });
    const next = (await refresh(server, account.refresh_token)).json;
    const password = newPassword();
    const wrong = newPassword();
    await signIn(server, account.email, wrong);
    await signUp(server, account.email, wrong);
    await call(server, 'POST', '/auth/v1/signup', { body: `{"email":"${account.email}","password":"${wrong}","data":{"a":"\\u0000"}}`,
      headers: { 'content-type': 'application/json' } });
    await call(server, 'PUT', '/auth/v1/user', { token: account.access_token, body: { password } });
    await call(server, 'GET', `/auth/v1/user?access_token=${account.access_token}`);
    await call(server, 'GET', `/auth/v1/nothing?email=${account.email}&password=${wrong}`);
    await logOut(server, next.access_token);
    await refresh(server, next.refresh_token);
    forget(server);

    await server.stop();

    const bytes = Buffer.from(account.refresh_token.slice(6), 'base64url');
    const planted = { email: account.email, password: account.password, 'new password': password, 'wrong password': wrong,
      'access token': account.access_token.split('.')[2], 'next access token': next.access_token.split('.')[2],
      'refresh token': account.refresh_token.slice(6), 'next refresh token': next.refresh_token.slice(6),
      'hash of the refresh token': createHash('sha256').update(bytes).digest('hex'), 'password hash': '$argon2id$',
      metadata: 'planted-metadata-8c1f', 'connection password': 'password=' };
    for (const [what, secret] of Object.entries(planted)) {
      assert.ok(!server.output.all.includes(secret), `the log shows the ${what}`);
    }
  });
});

describe('overload', { timeout: 120_000 }, () => {
  test('of password hashing is refused at once while refreshes are served', async () => {
    const server = await startServer({ env: { ...quickStop, PAM_HASH__THREADS: '1', PAM_HASH__QUEUE_LIMIT: '2' } });
    // Ten sign-ins each: more of one account would meet its own limit (429) before the pool's.
    const accounts = [];
    for (let i = 0; i < 6; ++i) accounts.push(await newAccount(server));

    const logins = Array.from({ length: 60 }, (_, i) => signIn(server, accounts[i % 6].email, accounts[i % 6].password));
    let token = accounts[0].refresh_token;
    for (let i = 0; i < 5; ++i) {
      const answer = await refresh(server, token);
      assertTokenResponse(answer);
      token = answer.json.refresh_token;
    }
    const answers = await Promise.all(logins);

    const refused = answers.filter(({ status }) => status === 503);
    assert.ok(refused.length > 0, 'nothing was refused');
    for (const answer of refused) {
      assertProblem(answer, 503, 'over_capacity');
      assert.ok(answer.json.reason.length > 0);
    }
    for (const answer of answers.filter(({ status }) => status !== 503)) assertTokenResponse(answer);
    forget(server);
    await server.stop();
  });

  // A hash takes 0.15 s or more, three times 0.06 of the fastest machine so far: a crowd of 60 is a line of seconds.
  const slowHashes = { ...quickStop, PAM_SERVER__SHARDS: '1', PAM_HASH__THREADS: '1', PAM_HASH__PASSES: '60' };
  const crowd = (server) => Promise.all(Array.from({ length: 60 }, () => signIn(server, newEmail(), newPassword())));
  const waitsOf = (answers) => answers.filter(({ status }) => status === 503).map((answer) => {
    assertProblem(answer, 503, 'over_capacity');
    return Number(answer.headers['retry-after']);
  });
  const assertLine = (waits) => {
    assert.equal(Math.min(...waits), 1);
    assert.ok(Math.max(...waits) > 1 && Math.max(...waits) <= 30, waits.join());
  };

  test('of password hashing tells the later of a crowd to come back later', async () => {
    const server = await startServer({ env: { ...slowHashes, PAM_HASH__QUEUE_LIMIT: '1' } });
    await newAccount(server); // tells the pool what a hash takes

    assertLine(waitsOf(await crowd(server)));

    forget(server);
    await server.stop();
  });

  test('of password hashing at admission does so as well, and makes a known device wait for its like alone', async () => {
    const server = await startServer({ env: { ...slowHashes, PAM_ADMISSION__HASH: '1' } });
    const account = await newAccount(server);
    const { headers } = await signIn(server, account.email, account.password);
    const known = () => call(server, 'POST', '/auth/v1/token?grant_type=password', { body: { email: account.email, password: account.password },
      headers: { 'x-pam-device': headers['x-pam-device'] } });

    assertLine(waitsOf(await crowd(server)));
    let own;
    for (let tries = 0; own === undefined && tries < 20; ++tries) { // until the device, too, finds the only place taken
      const strangers = crowd(server);
      [own] = waitsOf([await known()]);
      await strangers;
    }

    assert.equal(own, 1);
    forget(server);
    await server.stop();
  });
});

describe('a database that stands still', { timeout: 120_000 }, () => {
  test('lets few in for its queue, however quickly that queue refuses the rest', async () => {
    const server = await startServer({ env: { ...quickStop, PAM_SERVER__SHARDS: '1', PAM_LIMITS__REQUEST: '1s',
      PAM_DATABASE__QUEUE_LIMIT: '16', PAM_ADMISSION__READ: '1000', PAM_ADMISSION__WRITE: '1000' } });
    const { access_token: token } = await newAccount(server);
    const limit = () => metric(server, 'pam_admission_limit', 'class="read"');
    assert.equal(await limit(), 1000);
    const { postgres } = server.pids;
    const database = [postgres, ...childrenOf(postgres)]; // the postmaster, too, or it makes new backends

    let isOver = false;
    let served = 0;
    const client = async () => {
      while (!isOver) {
        const answer = await getUser(server, token);
        if (answer.status === 200) ++served;
        else assertProblem(answer, 503, 'over_capacity');
      }
    };
    database.forEach((pid) => process.kill(pid, 'SIGSTOP'));
    const clients = Promise.all(Array.from({ length: 200 }, client));
    const ended = clients.catch(() => {}); // told below: a client that fails ends the wait
    try {
      try {
        await Promise.race([clients, until(async () => (await limit()) === 16, 'the bound to close', 20)]);
      } finally {
        database.forEach((pid) => process.kill(pid, 'SIGCONT'));
      }
      await Promise.race([clients, until(async () => served > 1000 && (await limit()) > 16, 'the bound to open', 20)]);
    } finally {
      isOver = true;
      await ended;
    }
    await clients;
    forget(server);
    await server.stop();
  });
});

describe('the life of the server', { timeout: 240_000 }, () => {
  test('a restart keeps accounts, sessions and logouts', async () => {
    const data = join(temporaryFolder(), 'data');
    // Another port after the restart must not make another issuer.
    const env = { ...quickStop, PAM_SERVER__SITE_URL: 'https://auth.example' };
    const first = await startServer({ data, env });
    const account = await newAccount(first, { data: { kept: true } });
    const ended = await newSession(first, account);
    await logOut(first, ended.access_token, 'local');
    forget(first);
    assert.deepEqual(await first.stop(), { code: 0, signal: null });

    const second = await startServer({ data, env });

    assert.equal((await getUser(second, account.access_token)).json.user_metadata.kept, true);
    assertTokenResponse(await refresh(second, account.refresh_token));
    assertTokenResponse(await signIn(second, account.email, account.password));
    assertProblem(await getUser(second, ended.access_token), 403, 'session_not_found');
    assert.equal((await refresh(second, ended.refresh_token)).status, 400);
    forget(second);
    await second.stop();
  });

  test('kill -9 under load loses nothing that was acknowledged', async () => {
    const data = join(temporaryFolder(), 'data');
    const first = await startServer({ data, env: quickStop });
    const accounts = [];
    const sessions = [];
    let isOver = false;
    // A failed call is the crash: only what was answered counts.
    const attempt = async (work) => {
      try {
        return await work();
      } catch {
        isOver = true;
        return { status: 0 };
      }
    };
    const signer = async () => {
      while (!isOver) {
        const [email, password] = [newEmail('crash'), newPassword()];
        const answer = await attempt(() => signUp(first, email, password));
        if (answer.status === 200) accounts.push({ email, password, id: answer.json.user.id });
      }
    };
    const refresher = async (account) => {
      const session = { token: account.refresh_token, id: claimsOf(account.access_token).session_id, count: 0 };
      sessions.push(session);
      while (!isOver) {
        const answer = await attempt(() => refresh(first, session.token));
        if (answer.status === 200) {
          session.token = answer.json.refresh_token;
          ++session.count;
        }
      }
    };
    const owners = [];
    for (let i = 0; i < 8; ++i) owners.push(await newAccount(first));
    const load = [signer(), signer(), ...owners.map(refresher)];
    await until(() => accounts.length >= 12 && sessions.every(({ count }) => count >= 10), 'enough acknowledged work', 60);

    await first.crash();
    await Promise.all(load);
    forget(first);
    const second = await startServer({ data, env: quickStop });

    for (const session of sessions) {
      const answer = await refresh(second, session.token);
      assertTokenResponse(answer);
      assert.equal(claimsOf(answer.json.access_token).session_id, session.id);
    }
    for (const { email, password, id } of accounts) {
      const answer = await signIn(second, email, password);
      assertTokenResponse(answer);
      assert.equal(answer.json.user.id, id);
    }
    forget(second);
    await second.stop();
  });

  test('SIGTERM answers what runs, says that it is not ready, and ends with 0', async () => {
    const server = await startServer({ env: {
      // Idle connections are kept for the time they were promised.
      PAM_SERVER__DRAIN_DELAY: '2s', PAM_SERVER__DRAIN_TIMEOUT: '30s', PAM_LIMITS__KEEP_ALIVE: '1s' } });
    const requests = Array.from({ length: 12 }, () => signUp(server, newEmail(), newPassword()));
    // Hashing takes its time one by one: when the first is answered, the others are in flight.
    await Promise.race(requests);

    server.terminate();
    await until(async () => (await callInternal(server, '/readyz')).status === 503, 'readiness to go', 5);
    const answers = await Promise.all(requests);

    for (const answer of answers) assertTokenResponse(answer);
    assert.deepEqual(await server.exited, { code: 0, signal: null });
    forget(server);
  });

  test('SIGTERM ends PostgreSQL and PgBouncer too', async () => {
    const server = await startServer({ env: quickStop });
    const lives = (pid) => {
      try {
        process.kill(pid, 0);
        return true;
      } catch {
        return false;
      }
    };
    assert.ok(Object.values(server.pids).every(lives));

    await server.stop();

    assert.deepEqual(Object.values(server.pids).filter(lives), []);
  });

  test('without PostgreSQL answers 503, never another error and never a logout', async () => {
    const server = await startServer({ env: { ...quickStop, PAM_LIMITS__REQUEST: '1s' } });
    const account = await newAccount(server);

    // A backend may answer once more before it notices that its postmaster is gone.
    const backends = childrenOf(server.pids.postgres);
    process.kill(server.pids.postgres, 'SIGKILL');
    await until(() => backends.every((pid) => !existsSync(`/proc/${pid}`)), 'the backends to end', 10);
    const answers = await Promise.all([...Array.from({ length: 10 }, () => refresh(server, account.refresh_token)),
      getUser(server, account.access_token), signIn(server, account.email, account.password),
      signUp(server, newEmail(), newPassword()), logOut(server, account.access_token)]);

    for (const answer of answers) assertProblem(answer, 503, 'over_capacity');
    assert.equal((await call(server, 'GET', '/health')).status, 200);
    assert.equal((await callInternal(server, '/livez')).status, 200);
    await until(async () => (await callInternal(server, '/readyz')).status === 503, 'readiness to go', 10);
    forget(server);
    await server.stop();
  });
});

describe('errors at start', { timeout: 120_000 }, () => {
  /** Starts what must fail; resolves with its exit code and what it said. */
  async function failing(args, env = {}) {
    const started = run(['dev', ...args], env);
    const { code } = await started.exited;
    return { code, said: started.output.all };
  }
  function assertOneClearSentence({ code, said }, pattern) {
    assert.ok(code > 0, `it ended with ${code}`);
    assert.match(said, pattern);
    assert.doesNotMatch(said, /terminate called|Aborted|core dumped|Sanitizer|std::|what\(\)/);
    const complaints = said.split('\n').filter((line) => pattern.test(line));
    assert.equal(complaints.length, 1, said);
  }

  test('a busy port is named', async () => {
    const squatter = net.createServer();
    await new Promise((done) => squatter.listen(0, '127.0.0.1', done));
    const { port } = squatter.address();

    const result = await failing(['--ephemeral', '--port', String(port)]);

    squatter.close();
    assertOneClearSentence(result, new RegExp(`\\b${port}\\b.*(in use|busy|taken)|(in use|busy|taken).*\\b${port}\\b`, 'i'));
  });

  test('a missing PostgreSQL is named with its cure', async () => {
    const folder = temporaryFolder();

    const result = await failing(['--ephemeral', '--port', '0'], { PAM_PG_BIN: join(folder, 'nowhere') });

    assertOneClearSentence(result, /postgres.*(install|PAM_PG_BIN)|PAM_PG_BIN.*postgres/i);
  });

  test('a broken data folder is named', async () => {
    const data = join(temporaryFolder(), 'data');
    for (const folder of [data, join(data, 'postgres'), join(data, 'postgres', 'pg')]) {
      mkdirSync(folder, { recursive: true });
      chmodSync(folder, 0o755);
      writeFileSync(join(folder, 'PG_VERSION'), '9.1\n');
    }

    const result = await failing(['--data', data, '--port', '0']);

    assertOneClearSentence(result, new RegExp(data));
  });

  test('a data folder in use is named', async () => {
    const data = join(temporaryFolder(), 'data');
    const first = await startServer({ data, env: quickStop });

    const result = await failing(['--data', data, '--port', '0']);

    assertOneClearSentence(result, /in use|already|another/i);
    assert.equal((await call(first, 'GET', '/health')).status, 200);
    forget(first);
    await first.stop();
  });

  test('an unknown setting and an unknown option are named', async () => {
    assertOneClearSentence(await failing(['--ephemeral', '--port', '0'], { PAM_LIMITS__CONECTIONS: '5' }), /CONECTIONS|conections/);
    assertOneClearSentence(await failing(['--ephemeral', '--port', '0'], { PAM_LIMITS__CONNECTIONS: 'many' }), /connections.*many|many.*connections/i);
    const { code, said } = await failing(['--no-such-option']);
    assert.ok(code > 0);
    assert.match(said, /no-such-option/);
  });
});
