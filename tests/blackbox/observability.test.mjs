// What the server tells its operator: a line a request, slow requests, metrics, traces; and what it never tells.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';

import { startCollector } from './support/collector.mjs';
import { routes } from './support/contract.mjs';
import { call, callInternal, forget, getUser, metric, newAccount, newPassword, refresh, signIn } from './support/client.mjs';
import { checkExposition } from './support/exposition.mjs';
import { install } from './support/fleet.mjs';
import { quickStop, startServer, until } from './support/server.mjs';

const linesOf = (server, event) => server.output.all.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line))
  .filter((line) => line.event === event);
/** The one line of a request, which is written after its answer has left. */
async function lineOf(server, answer, event = 'request') {
  const id = answer.headers['x-request-id'];
  const mine = () => linesOf(server, event).filter(({ request_id }) => request_id === id);
  await until(() => mine().length > 0, `the line of ${id}`);
  assert.equal(mine().length, 1);
  return mine()[0];
}

describe('the log', { timeout: 300_000 }, () => {
  let server;
  before(async () => (server = await startServer({ env: { ...quickStop, PAM_LOG__SLOW_REQUEST: '1ms', PAM_LOG__FLOOD_LIMIT: '100000' } })));
  after(async () => {
    forget(server);
    await server?.stop();
  });

  test('has one line a request, with its times', async () => {
    const account = await newAccount(server);
    // Now and then a request also reads since when everybody's tokens are valid.
    const line = await until(async () => {
      const one = await lineOf(server, await getUser(server, account.access_token));
      assert.ok(one.statements <= 2);
      return one.statements === 1 && one;
    }, 'a request of one statement');

    assert.deepEqual(Object.keys(line).sort(), ['bytes', 'database_queue_us', 'database_us', 'duration_us', 'event', 'hash_queue_us', 'hash_us',
      'hashes', 'level', 'method', 'msg', 'peer', 'request_id', 'route', 'sent', 'statements', 'status', 'time', 'trace_id']);
    assert.deepEqual([line.level, line.method, line.route, line.status, line.sent, line.peer, line.trace_id],
      ['info', 'GET', '/user', 200, true, '127.0.0.1', '']);
    assert.equal(line.statements, 1);
    assert.ok(line.database_us > 0 && line.database_us + line.database_queue_us <= line.duration_us);
    assert.deepEqual([line.hashes, line.hash_us, line.hash_queue_us], [0, 0, 0]);
  });

  test('tells what a password costs from what the database does', async () => {
    const account = await newAccount(server);
    const line = await lineOf(server, await signIn(server, account.email, account.password));

    assert.equal(line.hashes, 1);
    assert.ok(line.hash_us > 1000, String(line.hash_us));
    assert.ok(line.statements >= 2);
    assert.ok(line.hash_us + line.hash_queue_us + line.database_us + line.database_queue_us <= line.duration_us);
  });

  test('counts a refresh as one statement and no hash', async () => {
    let { refresh_token } = await newAccount(server);
    await until(async () => {
      const answer = await refresh(server, refresh_token);
      ({ refresh_token } = answer.json);
      const { statements, hashes } = await lineOf(server, answer);
      assert.equal(hashes, 0);
      return statements === 1;
    }, 'a refresh of one statement');
  });

  test('counts the statements of a transaction', async () => {
    const account = await newAccount(server);
    const line = await lineOf(server, await call(server, 'PUT', '/auth/v1/user', { token: account.access_token, body: { password: newPassword() } }));

    assert.ok(line.statements >= 4, String(line.statements));
    assert.ok(line.hashes >= 1);
  });

  test('names no work where there was none', async () => {
    for (const path of ['/health', '/nothing']) {
      const line = await lineOf(server, await call(server, 'GET', path));
      assert.deepEqual([line.statements, line.hashes, line.database_us, line.hash_us], [0, 0, 0, 0]);
    }
  });

  test('says which requests were slow', async () => {
    const account = await newAccount(server);
    const answer = await signIn(server, account.email, account.password);
    const line = await lineOf(server, answer, 'slow_request');

    assert.equal(line.level, 'warn');
    assert.ok(line.duration_us >= 1000);
  });

  test('names the trace of a request that belongs to one', async () => {
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00';
    assert.equal((await lineOf(server, await call(server, 'GET', '/health', { headers: { traceparent } }))).trace_id, '4bf92f3577b34da6a3ce929d0e0e4736');
    const broken = await call(server, 'GET', '/health', { headers: { traceparent: traceparent.toUpperCase() } });
    assert.equal((await lineOf(server, broken)).trace_id, '');
  });

  test('says of refusals what the flood limit allows, and how many more there were', async () => {
    const limit = 5;
    const full = await startServer({ env: { ...quickStop, PAM_SERVER__SHARDS: '1', PAM_ADMISSION__READ: '1', PAM_LOG__FLOOD_LIMIT: String(limit) } });
    const account = await newAccount(full);
    const answers = [];
    const refused = () => answers.filter(({ status }) => status === 503).length;
    while (refused() < 20 * limit) answers.push(...await Promise.all(Array.from({ length: 50 }, () => getUser(full, account.access_token))));
    forget(full);
    await full.stop();

    const lines = linesOf(full, 'request_refused');
    const perSecond = new Map();
    for (const { time } of lines) perSecond.set(time.slice(0, 19), (perSecond.get(time.slice(0, 19)) ?? 0) + 1);
    assert.ok(lines.length > 0);
    for (const [second, count] of perSecond) assert.ok(count <= limit, `${count} lines in ${second}`);
    for (const line of lines) assert.deepEqual([line.level, line.status, line.route, line.statements], ['warn', 503, '/user', 0]);
    // The count comes with the next line of the event, or in a line of its own.
    const counted = [...lines, ...linesOf(full, 'log_suppressed').filter(({ suppressed_event: event }) => event === 'request_refused')];
    assert.equal(lines.length + counted.reduce((sum, { suppressed = 0 }) => sum + suppressed, 0), refused());
    assert.equal(linesOf(full, 'request').filter(({ status }) => status === 503).length, 0);
    // By id: a development server asks itself something at its start.
    const served = new Set(answers.filter(({ status }) => status === 200).map(({ headers }) => headers['x-request-id']));
    assert.equal(served.size, answers.length - refused());
    assert.equal(linesOf(full, 'request').filter(({ request_id: id }) => served.has(id)).length, served.size);
  });

  test('is silent about slow requests where none counts as slow', async () => {
    const quiet = await startServer({ env: { ...quickStop, PAM_LOG__SLOW_REQUEST: '0s' } });
    await newAccount(quiet);
    forget(quiet);
    await quiet.stop();

    assert.ok(linesOf(quiet, 'request').length > 0);
    assert.deepEqual(linesOf(quiet, 'slow_request'), []);
  });
});

describe('metrics', { timeout: 300_000 }, () => {
  test('are what Prometheus reads, with bounded labels and the parts of requests', async () => {
    const server = await startServer({ env: quickStop });
    const account = await newAccount(server);
    await refresh(server, account.refresh_token);
    for (let i = 0; i < 30; ++i) {
      await call(server, 'GET', `/auth/v1/sessions/${i}`, { headers: { 'user-agent': `agent-${i}`, origin: `https://o${i}.example` } });
    }

    const { text } = await callInternal(server, '/metrics');
    const families = checkExposition(text);

    const parts = families.get('pam_http_request_part_seconds').samples.filter(({ name }) => name.endsWith('_count'));
    assert.deepEqual(Object.fromEntries(parts.map(({ labels, value }) => [labels.part, value > 0])),
      { database_queue: true, database: true, hash_queue: true, hash: true });
    const known = new Set([...routes.map(({ path }) => path), 'unmatched']);
    for (const { labels } of families.get('pam_http_requests_total').samples) {
      assert.ok(known.has(labels.route) || labels.route.startsWith('/oauth2/') || labels.route.startsWith('/admin/'), labels.route);
      assert.match(labels.status, /^([1-5]xx|lost)$/);
    }
    const series = [...families.values()].reduce((sum, { samples }) => sum + samples.length, 0);
    assert.ok(series < 2000, `${series} series`);
    assert.doesNotMatch(text, /pam_traces/, 'tracing is off by default');
    forget(server);
    await server.stop();
  });
});

describe('traces', { timeout: 300_000 }, () => {
  const traceId = '0af7651916cd43dd8448eb211c80319c';
  const parentId = 'b7ad6b7169203331';
  const spanOf = async (collector, answer) => until(
    () => collector.spans().find(({ attributes }) => attributes['pam.request_id'] === answer.headers['x-request-id']), 'the span');

  test('go to a collector, as children of the caller\'s span', async () => {
    const collector = await startCollector();
    const server = await startServer({ env: { ...quickStop, PAM_TRACING__ENDPOINT: collector.endpoint } });
    const account = await newAccount(server);

    const traced = await call(server, 'GET', '/auth/v1/user', { token: account.access_token,
      headers: { traceparent: `00-${traceId}-${parentId}-01`, tracestate: 'vendor=abc,other=1' } });
    const span = await spanOf(collector, traced);

    assert.deepEqual([span.traceId, span.parentSpanId, span.traceState, span.name, span.kind],
      [traceId, parentId, 'vendor=abc,other=1', 'GET /user', 2]);
    assert.match(span.spanId, /^[0-9a-f]{16}$/);
    assert.notEqual(span.spanId, parentId);
    assert.ok(BigInt(span.endTimeUnixNano) > BigInt(span.startTimeUnixNano));
    assert.ok(Math.abs(Number(BigInt(span.startTimeUnixNano) / 1_000_000n) - Date.now()) < 60_000);
    assert.deepEqual([span.attributes['http.route'], span.attributes['http.request.method'], span.attributes['http.response.status_code']],
      ['/user', 'GET', 200]);
    assert.ok(span.attributes['pam.statements'] >= 1);
    assert.ok(span.attributes['pam.database_us'] > 0);

    const unsampled = await call(server, 'GET', '/health', { headers: { traceparent: `00-${traceId}-${parentId}-00` } });
    for (const traceparent of [`00-${traceId}-${parentId}-01-x`, `00-${'0'.repeat(32)}-${parentId}-01`, `ff-${traceId}-${parentId}-01`, 'x']) {
      const own = await spanOf(collector, await call(server, 'GET', '/health', { headers: { traceparent, tracestate: 'vendor=abc' } }));
      assert.notEqual(own.traceId, traceId);
      assert.equal(own.parentSpanId, undefined);
      assert.equal(own.traceState, undefined);
    }
    const later = await spanOf(collector, await call(server, 'GET', '/nothing', { headers: { traceparent: `cc-${traceId}-${parentId}-01-new`, tracestate: '=' } }));
    assert.deepEqual([later.traceId, later.traceState, later.name], [traceId, undefined, 'GET']);

    forget(server);
    await server.stop();
    assert.ok(!collector.spans().some(({ attributes }) => attributes['pam.request_id'] === unsampled.headers['x-request-id']));
    for (const { path, method, type } of collector.bodies) assert.deepEqual([path, method, type], ['/v1/traces', 'POST', 'application/json']);
    await collector.stop();
  });

  test('show each statement and each hash of a request as a span below its own', async () => {
    const collector = await startCollector();
    const server = await startServer({ env: { ...quickStop, PAM_TRACING__ENDPOINT: collector.endpoint } });
    const account = await newAccount(server);
    const traceparent = `00-${traceId}-${parentId}-01`;
    const childrenOf = (span) => collector.spans().filter(({ parentSpanId }) => parentSpanId === span.spanId);
    const traced = async (method, path, request) => {
      const span = await spanOf(collector, await call(server, method, path, { ...request, headers: { traceparent, tracestate: 'vendor=abc' } }));
      const children = childrenOf(span);
      for (const child of children) {
        assert.deepEqual([child.traceId, child.traceState, child.flags], [traceId, 'vendor=abc', 1]);
        assert.match(child.spanId, /^[0-9a-f]{16}$/);
        const [began, ended] = [BigInt(child.startTimeUnixNano), BigInt(child.endTimeUnixNano)];
        assert.ok(BigInt(span.startTimeUnixNano) <= began && began <= ended && ended <= BigInt(span.endTimeUnixNano), child.name);
        const parts = child.attributes['pam.queue_us'] + child.attributes['pam.work_us'];
        assert.ok(Math.abs(parts - Number((ended - began) / 1000n)) <= 2, `${child.name} is its wait and its work`);
      }
      assert.equal(new Set(children.map(({ spanId }) => spanId)).size, children.length);
      const statements = children.filter(({ kind }) => kind === 3);
      const hashes = children.filter(({ kind }) => kind === 1);
      assert.equal(statements.length + hashes.length, children.length);
      for (const { name, attributes } of statements) {
        assert.deepEqual([attributes['db.system.name'], attributes['db.query.summary']], ['postgresql', name]);
        if (name !== 'BEGIN' && name !== 'COMMIT') assert.match(attributes['pam.statement'], /^pam_[0-9a-f]{16}$/);
      }
      // What the request says it cost is what its children are.
      const sum = (spans, attribute) => spans.reduce((total, { attributes }) => total + attributes[attribute], 0);
      assert.equal(span.attributes['pam.statements'], statements.filter(({ name }) => name !== 'BEGIN' && name !== 'COMMIT').length);
      assert.equal(span.attributes['pam.hashes'], hashes.length);
      assert.ok(Math.abs(span.attributes['pam.hash_us'] - sum(hashes, 'pam.work_us')) <= hashes.length);
      assert.equal(span.attributes['pam.dropped_spans'], undefined);
      return { span, children, names: children.map(({ name }) => name).filter((name) => name !== 'read_token_cut') };
    };

    const read = await traced('GET', '/auth/v1/user', { token: account.access_token });
    assert.deepEqual(read.names, ['check_bearer_and_read_account']);
    const listed = await traced('GET', '/auth/v1/sessions', { token: account.access_token });
    assert.deepEqual(listed.names, ['check_bearer_and_list_sessions']);
    const signedIn = await traced('POST', '/auth/v1/token?grant_type=password', { body: { email: account.email, password: account.password } });
    assert.deepEqual(signedIn.names, ['find_claim', 'read_for_sign_in', 'verify_password', 'sign_in']);
    assert.ok(signedIn.children.find(({ name }) => name === 'verify_password').attributes['pam.work_us'] > 1000);
    // They stand where they were: each was asked for when the one before it had ended.
    const steps = signedIn.children.filter(({ name }) => name !== 'read_token_cut');
    for (let i = 1; i < steps.length; ++i) assert.ok(BigInt(steps[i].startTimeUnixNano) >= BigInt(steps[i - 1].endTimeUnixNano), steps[i].name);
    const changed = await traced('PUT', '/auth/v1/user', { token: account.access_token, body: { password: newPassword() } });
    for (const name of ['BEGIN', 'hash_password', 'change_account', 'end_other_sessions', 'COMMIT']) assert.ok(changed.names.includes(name), name);
    assert.ok(changed.names.indexOf('BEGIN') < changed.names.indexOf('COMMIT'));
    assert.deepEqual((await traced('GET', '/health', {})).names, []);

    const before = collector.spans().length;
    await call(server, 'GET', '/auth/v1/user', { token: account.access_token, headers: { traceparent: `00-${traceId}-${parentId}-00` } });
    await traced('GET', '/health', {});
    assert.equal(collector.spans().length, before + 1, 'an unsampled request has no spans at all');
    forget(server);
    await server.stop();
    await collector.stop();
  });

  test('a statement that fails says so in its span', async () => {
    const collector = await startCollector();
    const installation = await install();
    const server = await installation.serve({ PAM_TRACING__ENDPOINT: collector.endpoint });
    const account = await newAccount(server);
    await installation.sql('REVOKE SELECT ON identities FROM PUBLIC, pam_app');
    const answer = await getUser(server, account.access_token);
    const span = await spanOf(collector, answer);
    const failed = collector.spans().find(({ name, parentSpanId }) => parentSpanId === span.spanId && name !== 'read_token_cut');

    assert.ok(answer.status >= 500, String(answer.status));
    assert.deepEqual([failed.name, failed.attributes['error.type'], failed.attributes['db.response.status_code'], failed.status?.code],
      ['check_bearer_and_read_account', 'rejected', '42501', 2]);
    await installation.end();
    await collector.stop();
  });

  test('are sampled by the request, whole or not at all', async () => {
    const collector = await startCollector();
    const server = await startServer({ env: { ...quickStop, PAM_TRACING__ENDPOINT: collector.endpoint, PAM_TRACING__SAMPLE_PERCENT: '30' } });
    const account = await newAccount(server);
    const answers = [];
    for (let i = 0; i < 300; ++i) answers.push(await getUser(server, account.access_token));
    forget(server);
    await server.stop();

    const spans = collector.spans();
    const ids = new Set(answers.map(({ headers }) => headers['x-request-id']));
    const sampled = spans.filter(({ attributes }) => ids.has(attributes['pam.request_id']));
    assert.ok(sampled.length > 50 && sampled.length < 130, `${sampled.length} of 300 at 30 %`); // five sigma around 90
    for (const { spanId } of sampled) assert.ok(spans.some(({ parentSpanId }) => parentSpanId === spanId), 'a sampled request has its children');
    await collector.stop();
  });

  test('are sent to the last when the server stops', async () => {
    const collector = await startCollector();
    const server = await startServer({ env: { ...quickStop, PAM_TRACING__ENDPOINT: collector.endpoint } });
    const answers = await Promise.all(Array.from({ length: 20 }, () => call(server, 'GET', '/health')));
    forget(server);
    await server.stop();

    const seen = new Set(collector.spans().map(({ attributes }) => attributes['pam.request_id']));
    for (const { headers } of answers) assert.ok(seen.has(headers['x-request-id']));
    await collector.stop();
  });

  test('nobody takes are dropped and counted, and cost no request anything', async () => {
    const collector = await startCollector({ answer: () => {} }); // takes connections and never answers
    const server = await startServer({ env: { ...quickStop, PAM_TRACING__ENDPOINT: collector.endpoint, PAM_TRACING__QUEUE_LIMIT: '5' } });

    await until(async () => {
      assert.equal((await call(server, 'GET', '/health')).status, 200);
      return await metric(server, 'pam_traces_dropped_total', 'queue_full') > 0;
    }, 'spans to be dropped');

    forget(server);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    await collector.stop();
  });

  test('a collector that refuses loses spans, which are counted', async () => {
    const collector = await startCollector({ answer: (response) => response.writeHead(503).end() });
    const server = await startServer({ env: { ...quickStop, PAM_TRACING__ENDPOINT: collector.endpoint } });
    await call(server, 'GET', '/health');

    await until(async () => await metric(server, 'pam_traces_dropped_total', 'refused') > 0, 'spans to be refused');

    assert.equal(await metric(server, 'pam_traces_exported_total'), 0);
    assert.ok(collector.bodies.length >= 3, 'it was asked three times');
    forget(server);
    await server.stop();
    await collector.stop();
  });
});

describe('secrets', { timeout: 300_000 }, () => {
  test('planted in every field of every route appear in no log, error, metric or trace', async () => {
    const collector = await startCollector();
    const server = await startServer({ env: { ...quickStop, PAM_LOG__LEVEL: 'debug', PAM_LOG__SLOW_REQUEST: '1ms', PAM_TRACING__ENDPOINT: collector.endpoint } });
    const account = await newAccount(server, { data: { note: 'planted-note' } });
    const context = { server, account };
    const planted = new Map([['the email', account.email], ['the password', account.password], ['metadata', 'planted-note'],
      ['the access token', account.access_token.split('.')[2]], ['the refresh token', account.refresh_token.slice(6)],
      ['a password hash', '$argon2id$'], ['the connection string', 'password='],
      ['a token hash', createHash('sha256').update(Buffer.from(account.refresh_token.slice(6), 'base64url')).digest('hex')]]);
    let number = 0;
    /** A value nobody else has, remembered under a name. */
    const plant = (name, make = (id) => `planted-${id}`) => {
      const value = make(`x${(number += 1)}q7`);
      planted.set(`${name} (${value})`, value);
      return value;
    };
    const refusals = [];
    const members = ['email', 'phone', 'password', 'current_password', 'nonce', 'refresh_token', 'auth_code', 'code_verifier', 'id_token', 'token',
      'token_hash', 'client_secret', 'assertion'];

    for (const route of routes) {
      const name = `${route.method} ${route.path}`;
      context.spare = undefined; // a planted password may have become its own
      const valid = await route.valid(context);
      const headers = () => Object.fromEntries(['user-agent', 'apikey', 'cookie', 'referer', 'x-client-info', 'x-forwarded-for', 'baggage', 'x-real-ip']
        .map((header) => [header, plant(`${name} ${header}`)]));
      const query = () => `${valid.path}${valid.path.includes('?') ? '&' : '?'}access_token=${plant(`${name} query`)}&password=${plant(`${name} query`)}`;
      const send = async (request) => {
        const answer = await call(server, route.method, request.path, request);
        if (answer.status >= 400) refusals.push([name, answer.text]);
      };
      // As it should be, with a body of strings, of wrong types, broken, and with another token.
      await send({ ...valid, path: query(), headers: headers() });
      for (const member of members) {
        for (const value of [plant(`${name} ${member}`), plant(`${name} ${member}`, (id) => `${id}@example.com`), [plant(`${name} ${member}`)]]) {
          await send({ ...valid, body: { ...valid.body, [member]: value }, headers: headers() });
        }
      }
      await send({ ...valid, body: { ...valid.body, data: { [plant(`${name} key`)]: plant(`${name} data`), big: 'x'.repeat(5000) } } });
      await send({ ...valid, body: `{"email":"${plant(`${name} broken`)}`, headers: { 'content-type': 'application/json' } });
      await send({ ...valid, body: plant(`${name} text`), headers: { 'content-type': plant(`${name} type`) } });
      await send({ ...valid, token: plant(`${name} token`, (id) => `a.${id}planted.c`) });
      await send({ ...valid, path: `${valid.path.split('?')[0]}?grant_type=${plant(`${name} grant`)}&scope=${plant(`${name} scope`)}&except=${plant(`${name} except`)}` });
      await send({ ...valid, path: `${valid.path.split('?')[0]}/${plant(`${name} path`)}` });
    }
    const next = (await refresh(server, account.refresh_token)).json;
    planted.set('the next refresh token', next.refresh_token.slice(6));
    planted.set('the next access token', next.access_token.split('.')[2]);
    const { text: metrics } = await callInternal(server, '/metrics');
    forget(server);
    await server.stop();

    const traces = collector.bodies.map(({ text }) => text).join('\n');
    for (const child of ['verify_password', 'sign_in', 'rotate_session', 'BEGIN']) assert.ok(traces.includes(`"name":"${child}"`), child);
    assert.ok(refusals.length > 100 && traces.length > 1000 && planted.size > 400, 'the test says something');
    for (const [what, secret] of planted) {
      assert.ok(!server.output.all.includes(secret), `the log shows ${what}`);
      assert.ok(!metrics.includes(secret), `the metrics show ${what}`);
      assert.ok(!traces.includes(secret), `the traces show ${what}`);
      for (const [name, text] of refusals) assert.ok(!text.includes(secret), `a refusal of ${name} shows ${what}: ${text}`);
    }
    await collector.stop();
  });
});
