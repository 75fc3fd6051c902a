// Passwords held against a collection of stolen ones: a small range service over HTTPS stands for the real one,
// and says what it was told.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect } from 'node:tls';

import { assertProblem, call, callInternal, getUser, metric, newAccount, newEmail, newPassword, signIn, signUp } from './support/client.mjs';
import { newCertificate } from './support/certificates.mjs';
import { command, install } from './support/fleet.mjs';
import { until } from './support/server.mjs';

const sha1 = (password) => createHash('sha1').update(password.normalize('NFC')).digest('hex').toUpperCase();

/**
 * A service that knows some passwords. `behaviour` may be exchanged: (request, response, usual) => void.
 * @param options.tls   more of https.createServer()
 * @param options.also  further names in its certificate
 */
async function startRanges(folder, { name = 'ranges', tls = {}, also } = {}) {
  const { key, certificate } = newCertificate(folder, name, also);
  const service = { certificate, stolen: new Set(), asked: [], raw: [], busy: 0, busiest: 0, behaviour: (request, response, usual) => usual() };
  const server = https.createServer({ key: readFileSync(key), cert: readFileSync(certificate), ...tls }, (request, response) => {
    service.asked.push({ method: request.method, url: request.url, headers: request.headers });
    service.busiest = Math.max(service.busiest, ++service.busy);
    response.on('close', () => --service.busy);
    service.behaviour(request, response, () => {
      const prefix = request.url.split('/').at(-1);
      const hits = [...service.stolen].map(sha1).filter((hash) => hash.startsWith(prefix)).map((hash) => `${hash.slice(5)}:3`);
      const padding = Array.from({ length: 20 }, (_, i) => `${createHash('sha1').update(`${prefix}${i}`).digest('hex').toUpperCase().slice(5)}:0`);
      response.writeHead(200, { 'content-type': 'text/plain' }).end([...hits, ...padding].sort().join('\r\n'));
    });
  });
  // Everything that came, decrypted: what is not sent cannot leak.
  server.on('secureConnection', (socket) => socket.on('data', (bytes) => service.raw.push(bytes)));
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  server.unref();
  service.port = server.address().port;
  service.url = `https://127.0.0.1:${service.port}/range`;
  service.stop = () => new Promise((closed) => {
    server.close(closed);
    server.closeAllConnections?.();
  });
  return service;
}

describe('stolen passwords', { timeout: 300_000 }, () => {
  let installation;
  let ranges;
  let server;
  const asking = (more = {}) => ({ PAM_PASSWORD__BREACH_URL: ranges.url, PAM_PASSWORD__BREACH_CA_FILE: ranges.certificate,
    PAM_PASSWORD__BREACH_NETWORKS: '127.0.0.0/8', PAM_LOG__FLOOD_LIMIT: '1000', ...more });
  const outcomes = async (of = server) => Object.fromEntries(await Promise.all(['clean', 'stolen', 'unanswered']
    .map(async (outcome) => [outcome, await metric(of, 'pam_breach_checks_total', `outcome="${outcome}"`)])));
  const reasons = (of) => of.output.all.split('\n').filter((line) => line.includes('"breach_check_failed"')).map((line) => JSON.parse(line).reason);

  before(async () => {
    installation = await install();
    ranges = await startRanges(installation.folder);
    server = await installation.serve(asking());
  });
  after(async () => {
    await installation?.end();
    await ranges?.stop();
  });

  test('are refused at sign-up and at a change, and advised against at sign-in', async () => {
    const stolen = newPassword();
    const account = await newAccount(server, { password: stolen });
    assert.equal((await signIn(server, account.email, stolen)).json.weak_password, undefined);

    // The range is remembered for an hour: a process that has not asked yet learns of it.
    ranges.stolen.add(stolen);
    const later = await installation.serve(asking());
    const refused = await signUp(later, newEmail(), stolen);
    assertProblem(refused, 422, 'weak_password');
    assert.deepEqual(refused.json.weak_password.reasons, ['pwned']);
    const unchanged = await call(later, 'PUT', '/auth/v1/user', { token: account.access_token, body: { password: stolen } });
    assertProblem(unchanged, 422, 'weak_password');
    assert.deepEqual(unchanged.json.weak_password.reasons, ['pwned']);
    const advised = await signIn(later, account.email, stolen);
    assert.equal(advised.status, 200);
    assert.deepEqual(advised.json.weak_password.reasons, ['pwned']);

    const fresh = newPassword();
    const changed = await call(later, 'PUT', '/auth/v1/user', { token: account.access_token, body: { password: fresh } });
    assert.equal(changed.status, 200, changed.text);
    assert.equal((await signIn(later, account.email, fresh)).status, 200);
    assert.deepEqual(await outcomes(later), { clean: 2, stolen: 3, unanswered: 0 });
    assert.equal(await metric(later, 'pam_breach_cache_hits_total'), 3, 'each range is asked for once');
  });

  test('are found in the form that is hashed', async () => {
    const composed = `Größe-${newPassword()}`;
    ranges.stolen.add(composed);
    assertProblem(await signUp(server, newEmail(), composed.normalize('NFD')), 422, 'weak_password');
  });

  test('leave the process as five digits and nothing more', async () => {
    const [password, known] = [newPassword(), newPassword()];
    ranges.stolen.add(known);
    const before = ranges.asked.length;
    assert.equal((await signUp(server, newEmail(), password)).status, 200);
    assertProblem(await signUp(server, newEmail(), known), 422, 'weak_password');

    assert.deepEqual(ranges.asked.slice(before).map(({ method, url }) => [method, url]),
      [password, known].map((each) => ['GET', `/range/${sha1(each).slice(0, 5)}`]));
    for (const { headers } of ranges.asked) {
      assert.equal(headers['add-padding'], 'true');
      assert.deepEqual(Object.keys(headers).sort(), ['accept', 'add-padding', 'host', 'user-agent']);
    }
    const { text: metrics } = await callInternal(server, '/metrics');
    const told = { 'the service': Buffer.concat(ranges.raw).toString('latin1'), 'the log': server.output.all, 'the metrics': metrics };
    assert.ok(told['the service'].includes(sha1(password).slice(0, 5)), 'the test sees what is sent');
    for (const [who, text] of Object.entries(told)) {
      for (const each of [password, known]) {
        assert.ok(!text.includes(each) && !text.toUpperCase().includes(sha1(each).slice(0, 6)), `${who} is told more than a prefix`);
        assert.ok(who === 'the service' || !text.includes(`${sha1(each).slice(0, 5)}`), `${who} is told a prefix`);
      }
    }
  });

  test('are not asked about where the password is refused anyway', async () => {
    const before = ranges.asked.length;
    for (const weak of ['short', 'password1', 'iloveyou']) assertProblem(await signUp(server, newEmail(), weak), 422, 'weak_password');
    assertProblem(await signIn(server, newEmail(), newPassword()), 400, 'invalid_credentials');
    assert.equal(ranges.asked.length, before);
  });

  test('are allowed, counted and logged while the service is away', async () => {
    const away = await startRanges(installation.folder, { name: 'away' });
    const alone = await installation.serve({ ...asking(), PAM_PASSWORD__BREACH_URL: away.url, PAM_PASSWORD__BREACH_CA_FILE: away.certificate });
    await away.stop();

    assert.equal((await signUp(alone, newEmail(), newPassword())).status, 200);

    assert.deepEqual(await outcomes(alone), { clean: 0, stolen: 0, unanswered: 1 });
    await until(() => reasons(alone).length === 1, 'the line');
    assert.match(reasons(alone)[0], /connect/i);
  });

  for (const [what, behaviour, reason] of [
    ['refuses', (request, response) => response.writeHead(503).end(), /503/],
    ['sends them elsewhere', (request, response) => response.writeHead(302, { location: `https://127.0.0.1:${ranges.port}/other` }).end(), /302/],
    ['talks of something else', (request, response) => response.writeHead(200).end('<html>maintenance</html>'), /no list/],
    ['never ends', (request, response) => {
      response.writeHead(200);
      const line = `${'0'.repeat(35)}:1\r\n`.repeat(1000);
      const more = () => !response.destroyed && response.write(line, more);
      more();
    }, /writ/i],
    ['hangs up', (request) => request.socket.destroy(), /./],
  ]) {
    test(`are allowed when the service ${what}`, async () => {
      const before = await outcomes();
      const said = reasons(server).length;
      ranges.behaviour = behaviour;
      try {
        assert.equal((await signUp(server, newEmail(), newPassword())).status, 200);
        assert.deepEqual(await outcomes(), { ...before, unanswered: before.unanswered + 1 });
        await until(() => reasons(server).length === said + 1, 'the line');
        assert.match(reasons(server)[said], reason);
        assert.ok(!ranges.asked.some(({ url }) => url.startsWith('/other')), 'redirects are not followed');
      } finally {
        ranges.behaviour = (request, response, usual) => usual();
      }
    });
  }

  test('hold nobody up longer than they may, and no other request at all', async () => {
    const slow = await installation.serve(asking({ PAM_PASSWORD__BREACH_TIMEOUT: '400ms', PAM_RATE_LIMITS__HASH_PER_MINUTE: '0', PAM_ADMISSION__HASH: '256' }));
    const account = await newAccount(slow);
    ranges.behaviour = () => {}; // takes the question and never answers
    try {
      const begun = performance.now();
      assert.equal((await signUp(slow, newEmail(), newPassword())).status, 200);
      const took = performance.now() - begun;
      assert.ok(took >= 380 && took < 1500, `${took} ms`);

      // More than are asked at a time: those behind wait no longer than the first.
      const many = Array.from({ length: 60 }, async () => {
        const from = performance.now();
        const { status } = await signUp(slow, newEmail(), newPassword());
        return { status, time: performance.now() - from };
      });
      const reads = [];
      for (let i = 0; i < 20; ++i) {
        const from = performance.now();
        assert.equal((await call(slow, 'GET', '/auth/v1/user', { token: account.access_token })).status, 200);
        reads.push(performance.now() - from);
      }
      assert.ok(Math.max(...reads) < 380, `a read took ${Math.max(...reads)} ms beside them`);
      const done = await Promise.all(many);
      assert.deepEqual([...new Set(done.map(({ status }) => status))], [200]);
      assert.ok(Math.max(...done.map(({ time }) => time)) < 4000, 'no sign-up waits for another one\'s check');
      assert.equal((await outcomes(slow)).unanswered, 61);
    } finally {
      ranges.behaviour = (request, response, usual) => usual();
    }
    assert.deepEqual(await slow.stop(), { code: 0, signal: null });
  });

  test('are asked about only where the certificate is good and the address is public or listed', async () => {
    const before = ranges.asked.length;
    const stranger = await startRanges(installation.folder, { name: 'stranger' });
    for (const [env, reason] of [
      [{ PAM_PASSWORD__BREACH_CA_FILE: stranger.certificate }, /cert/i],
      [{ PAM_PASSWORD__BREACH_CA_FILE: '' }, /cert/i],
      [{ PAM_PASSWORD__BREACH_NETWORKS: '' }, /connect/i],
      [{ PAM_PASSWORD__BREACH_NETWORKS: '10.0.0.0/8' }, /connect/i],
      [{ PAM_PASSWORD__BREACH_URL: ranges.url.replace('127.0.0.1', 'localhost'), PAM_PASSWORD__BREACH_NETWORKS: '10.0.0.0/8' }, /connect/i],
    ]) {
      const careful = await installation.serve(asking(env));
      assert.equal((await signUp(careful, newEmail(), newPassword())).status, 200);
      assert.deepEqual(await outcomes(careful), { clean: 0, stolen: 0, unanswered: 1 });
      await until(() => reasons(careful).length === 1, 'the line');
      assert.match(reasons(careful)[0], reason);
      await careful.stop();
    }
    assert.equal(ranges.asked.length, before);
    await stranger.stop();
  });

  test('are asked about sixteen at a time, 256 more wait, and the next are allowed at once', async () => {
    const busy = await startRanges(installation.folder, { name: 'busy' });
    const server = await installation.serve(asking({ PAM_PASSWORD__BREACH_URL: busy.url, PAM_PASSWORD__BREACH_CA_FILE: busy.certificate,
      PAM_PASSWORD__BREACH_TIMEOUT: '5s', PAM_RATE_LIMITS__HASH_PER_MINUTE: '0', PAM_ADMISSION__HASH: '1000',
      PAM_HASH__QUEUE_LIMIT: '1000' }));
    const [at_work, waiting, over] = [16, 256, 10];
    const signUps = (count) => Array.from({ length: count }, async () => (await signUp(server, newEmail(), newPassword())).status);
    // The connections are there before the first question is, so that all come within the time of one.
    const account = await newAccount(server);
    await Promise.all(Array.from({ length: at_work + waiting + over }, () => getUser(server, account.access_token)));
    const [known, clean] = [busy.asked.length, (await outcomes(server)).clean];
    const held = [];
    busy.behaviour = (request, response, usual) => held.push(usual);

    const first = signUps(at_work);
    await until(() => busy.asked.length === known + at_work, 'as many questions as are asked at a time');
    const rest = signUps(waiting + over);
    await until(async () => (await outcomes(server)).unanswered >= over, 'those that find no place');

    assert.equal(held.length, at_work, 'nobody is asked more at a time');
    busy.behaviour = (request, response, usual) => usual();
    for (const answer of held) answer();
    assert.deepEqual([...new Set(await Promise.all([...first, ...rest]))], [200]);
    assert.deepEqual(await outcomes(server), { clean: clean + at_work + waiting, stolen: 0, unanswered: over });
    assert.deepEqual(reasons(server), Array(over).fill('too many passwords wait'));
    assert.equal(busy.busiest, at_work);
    await server.stop();
    await busy.stop();
  });

  test('are asked about over TLS 1.2 and later, whatever the system would still speak', async () => {
    const lax = join(installation.folder, 'lax.cnf');
    writeFileSync(lax, ['openssl_conf = all', '[all]', 'ssl_conf = ssl', '[ssl]', 'system_default = lax',
      '[lax]', 'MinProtocol = TLSv1', 'CipherString = DEFAULT:@SECLEVEL=0', ''].join('\n'));
    for (const [maxVersion, expected] of [['TLSv1.1', 'unanswered'], ['TLSv1.2', 'clean']]) {
      const anything = { minVersion: 'TLSv1', ciphers: 'DEFAULT:@SECLEVEL=0' };
      const service = await startRanges(installation.folder, { name: maxVersion, tls: { ...anything, maxVersion } });
      const spoken = await new Promise((done, fail) => {
        const client = connect({ ...anything, host: '127.0.0.1', port: service.port, ca: readFileSync(service.certificate) },
          () => (done(client.getProtocol()), client.destroy())).on('error', fail);
      });
      assert.equal(spoken, maxVersion, 'the service is as old as it should be');
      const server = await installation.serve(asking({ OPENSSL_CONF: lax, PAM_PASSWORD__BREACH_URL: service.url, PAM_PASSWORD__BREACH_CA_FILE: service.certificate }));

      assert.equal((await signUp(server, newEmail(), newPassword())).status, 200);

      assert.deepEqual(await outcomes(server), { clean: 0, stolen: 0, unanswered: 0, [expected]: 1 });
      if (expected === 'unanswered') assert.match(reasons(server)[0], /SSL|TLS/);
      assert.equal(service.asked.length, expected === 'clean' ? 1 : 0);
      await server.stop();
      await service.stop();
    }
  });

  test('are asked about at an IPv4-mapped address where its IPv4 address may be asked', async () => {
    const mapped = await startRanges(installation.folder, { name: 'mapped', also: ['IP:::ffff:127.0.0.1'] });
    const url = `https://[::ffff:127.0.0.1]:${mapped.port}/range`;
    for (const [networks, expected] of [['', 'unanswered'], ['::/0', 'unanswered'], ['127.0.0.0/8', 'clean']]) {
      const server = await installation.serve(asking({ PAM_PASSWORD__BREACH_URL: url, PAM_PASSWORD__BREACH_CA_FILE: mapped.certificate, PAM_PASSWORD__BREACH_NETWORKS: networks }));

      assert.equal((await signUp(server, newEmail(), newPassword())).status, 200);

      assert.deepEqual(await outcomes(server), { clean: 0, stolen: 0, unanswered: 0, [expected]: 1 }, networks);
      if (expected === 'unanswered') assert.match(reasons(server)[0], /connect/i);
      assert.equal(mapped.asked.length, expected === 'clean' ? 1 : 0, networks);
      await server.stop();
    }
    await mapped.stop();
  });

  test('are asked about by nobody unless the operator says so, and never without TLS', async () => {
    const plain = await installation.serve();
    assert.equal((await signUp(plain, newEmail(), newPassword())).status, 200);
    assert.doesNotMatch((await callInternal(plain, '/metrics')).text, /pam_breach/);

    const refused = await command(['config', 'check', installation.config], { PAM_PASSWORD__BREACH_URL: ranges.url.replace('https', 'http') });
    assert.notEqual(refused.code, 0);
    assert.match(refused.all, /password\.breach_url: must be empty or a URL with https/);
  });
});
