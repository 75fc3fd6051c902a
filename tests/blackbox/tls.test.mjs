// TLS as another implementation of a client sees it, and certificates that change under load.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import tls from 'node:tls';

import { call, forget } from './support/client.mjs';
import { newCertificate } from './support/certificates.mjs';
import { freePort, install } from './support/installation.mjs';
import { until } from './support/server.mjs';

/** Runs `openssl s_client` against a server with this input; resolves with everything it said. */
function sClient(server, args, input = '') {
  return new Promise((done) => {
    const child = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${server.port}`, '-servername', 'localhost', ...args]);
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (text += bytes));
    child.stdin.on('error', () => {});
    child.on('close', () => done(text));
    child.stdin.end(input);
  });
}
const request = 'GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';

describe('TLS', { timeout: 300_000 }, () => {
  let site;
  let server;
  before(async () => {
    site = await install({ toml: { server: ['shards = 2'] } });
    site.sections.tls.push(`ticket_secret_file = "${join(site.folder, 'tickets')}"`);
    writeFileSync(join(site.folder, 'tickets'), randomBytes(32));
    // Files of its own: this suite replaces them.
    copyFileSync(site.database.certificate, join(site.folder, 'server.crt'));
    copyFileSync(join(dirname(site.database.certificate), 'localhost.key'), join(site.folder, 'server.key'));
    site.sections.tls[0] = `certificate_file = "${join(site.folder, 'server.crt')}"`;
    site.sections.tls[1] = `private_key_file = "${join(site.folder, 'server.key')}"`;
    site.write();
    server = await site.serve();
  });
  after(async () => site?.stop());

  const accepted = /HTTP\/1\.1 200 OK/;
  for (const version of ['-tls1_2', '-tls1_3']) {
    test(`${version.slice(1)} is spoken`, async () => {
      assert.match(await sClient(site, [version, '-ign_eof'], request), accepted);
    });
  }

  for (const [what, args] of [['TLS 1.0', ['-tls1']], ['TLS 1.1', ['-tls1_1']]]) {
    test(`${what} is refused`, async () => {
      const said = await sClient(site, [...args, '-cipher', 'ALL:@SECLEVEL=0', '-ign_eof'], request);

      assert.doesNotMatch(said, accepted);
      assert.match(said, /protocol version|unsupported protocol|no protocols available/i);
    });
  }

  for (const [who, suites, chosen] of [
    ['who prefers AES-256', 'TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256', 'TLS_AES_128_GCM_SHA256'],
    ['who prefers ChaCha20', 'TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256', 'TLS_CHACHA20_POLY1305_SHA256'],
    ['who knows ChaCha20 as a makeshift', 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256', 'TLS_AES_256_GCM_SHA384'],
    ['who has AES-256 only', 'TLS_AES_256_GCM_SHA384', 'TLS_AES_256_GCM_SHA384'],
  ]) {
    test(`TLS 1.3: ${who} gets ${chosen}`, async () => {
      const said = await sClient(site, ['-tls1_3', '-ciphersuites', suites, '-ign_eof'], request);

      assert.match(said, accepted);
      assert.match(said, new RegExp(`Cipher is ${chosen}`));
    });
  }

  for (const suite of ['AES128-GCM-SHA256', 'AES256-SHA256', 'ECDHE-ECDSA-AES128-SHA', 'ECDHE-ECDSA-AES128-SHA256', 'ECDHE-ECDSA-AES256-SHA384',
    'DHE-RSA-AES128-GCM-SHA256', 'ADH-AES128-GCM-SHA256', 'PSK-AES128-GCM-SHA256', 'NULL-SHA256', 'ECDHE-ECDSA-AES128-CCM8']) {
    test(`the suite ${suite} is refused`, async () => {
      const said = await sClient(site, ['-tls1_2', '-cipher', `${suite}:@SECLEVEL=0`, '-ign_eof'], request);

      assert.doesNotMatch(said, accepted);
      assert.match(said, /handshake failure|no cipher match|no ciphers available/i);
    });
  }

  test('a client that wants to renegotiate is refused', async () => {
    const said = await sClient(site, ['-tls1_2'], 'R\n');

    assert.match(said, /RENEGOTIATING/);
    assert.match(said, /no renegotiation|unexpected eof|alert|wrong version/i);
    assert.match(said, /Secure Renegotiation IS supported/, 'so that no peer can be tricked into an insecure one');
  });

  test('no ticket allows 0-RTT, and data sent that way are not taken', async () => {
    const session = join(site.folder, 'early');
    const first = await sClient(site, ['-tls1_3', '-ign_eof', '-sess_out', session], request);
    assert.match(first, /Max Early Data: 0\b/);
    assert.doesNotMatch(first, /Max Early Data: [1-9]/);
    const early = join(site.folder, 'early-data');
    writeFileSync(early, request);

    const said = await sClient(site, ['-tls1_3', '-sess_in', session, '-early_data', early, '-ign_eof'], request);

    assert.doesNotMatch(said, /Early data was accepted/);
  });

  test('no compression, and only http/1.1 is chosen', async () => {
    const said = await sClient(site, ['-tls1_2', '-alpn', 'h2,http/1.1', '-ign_eof'], request);

    assert.match(said, /Compression: NONE/);
    assert.match(said, /ALPN protocol: http\/1\.1/);
    assert.doesNotMatch(await sClient(site, ['-alpn', 'h2', '-ign_eof'], request), accepted);
  });

  for (const version of ['-tls1_2', '-tls1_3']) {
    test(`a session of ${version.slice(1)} is resumed by another process with the same secret`, async () => {
      const session = join(site.folder, `session${version}`);
      assert.match(await sClient(site, [version, '-ign_eof', '-sess_out', session], request), /^New, /m);
      const [port, internal_port] = [await freePort(), await freePort()];
      const other = await site.serve({ env: { PAM_LISTEN__PORT: String(port), PAM_INTERNAL__PORT: String(internal_port),
        PAM_SERVER__CONTROL_SOCKET: '' } });

      const said = await sClient({ port }, [version, '-ign_eof', '-sess_in', session], request);

      assert.match(said, /^Reused, /m);
      assert.match(said, accepted);
      await other.stop();
      const stranger = await site.serve({ env: { PAM_LISTEN__PORT: String(port), PAM_INTERNAL__PORT: String(internal_port),
        PAM_SERVER__CONTROL_SOCKET: '', PAM_TLS__TICKET_SECRET_FILE: '' } });
      assert.match(await sClient({ port }, [version, '-ign_eof', '-sess_in', session], request), /^New, /m);
      await stranger.stop();
    });
  }

  test('every answer carries the security headers, errors too', async () => {
    const answers = [await call(site, 'GET', '/health'), await call(site, 'GET', '/nothing'), await call(site, 'PATCH', '/health'),
      await call(site, 'GET', '/auth/v1/user'), await call(site, 'POST', '/auth/v1/signup', { body: '{' }),
      await call(site, 'POST', '/auth/v1/signup', { body: 'x'.repeat(70_000) }),
      await call(site, 'GET', '/health', { headers: { 'x-large': 'x'.repeat(15_000), 'x-larger': 'x'.repeat(5000) } }),
      await call(site, 'OPTIONS', '/auth/v1/user', { headers: { origin: 'https://a.example', 'access-control-request-method': 'GET' } })];
    forget(site);

    assert.deepEqual(answers.map(({ status }) => status), [200, 404, 405, 401, 400, 413, 431, 204]);
    for (const { status, headers } of answers) {
      assert.equal(headers['strict-transport-security'], 'max-age=31536000', status);
      assert.equal(headers['x-content-type-options'], 'nosniff', status);
      assert.ok(headers['x-request-id'], status);
      if (status >= 400) assert.match(headers['cache-control'], /no-store/, status);
      assert.equal(headers.server, undefined);
    }
  });

  test('a new certificate is taken under load, and a bad one is not', async () => {
    const old = site.ca;
    const fresh = newCertificate(site.folder, 'localhost-2');
    const trusted = [old, readFileSync(fresh.certificate)];
    const failures = [];
    const counts = { kept: 0, fresh: 0 };
    let isOver = false;
    const get = (kind, agent) => new Promise((done) => {
      const fail = (failure) => (failures.push(failure.message), done());
      https.get({ host: site.host, port: site.port, ca: trusted, servername: 'localhost', agent, path: '/health' }, (answer) => {
        answer.resume();
        if (answer.statusCode !== 200) failures.push(`status ${answer.statusCode}`);
        answer.on('error', fail).on('end', () => (++counts[kind], done()));
      }).on('error', fail);
    });
    const kept = async () => {
      const agent = new https.Agent({ keepAlive: true, maxCachedSessions: 0 });
      while (!isOver) await get('kept', agent);
      agent.destroy();
    };
    const oneByOne = async () => {
      while (!isOver) await get('fresh', false);
    };
    const shown = () => new Promise((done, fail) => {
      const socket = tls.connect({ host: site.host, port: site.port, ca: trusted, servername: 'localhost', ALPNProtocols: ['http/1.1'] }, () => {
        done(socket.getPeerCertificate().subject.CN);
        socket.destroy();
      });
      socket.on('error', fail);
    });
    const load = [kept(), kept(), oneByOne(), oneByOne()];
    try {
      const before = await shown();
      for (const name of ['crt', 'key']) copyFileSync(fresh[name === 'crt' ? 'certificate' : 'key'], join(site.folder, `server.${name}`));
      server.kill('SIGHUP');
      await until(async () => (await shown()) === 'localhost-2', 'the new certificate');
      assert.notEqual(before, 'localhost-2');

      // A key of another certificate: all stays as it is, and the log says why.
      copyFileSync(newCertificate(site.folder, 'localhost-3').key, join(site.folder, 'server.key'));
      server.kill('SIGHUP');
      await until(() => server.output.all.includes('reload_refused'), 'the refusal in the log');
      assert.match(server.output.all, /does not belong to certificate/);
      assert.equal(await shown(), 'localhost-2');
      copyFileSync(fresh.key, join(site.folder, 'server.key'));
      const soFar = { ...counts };
      await until(() => counts.kept > soFar.kept + 50 && counts.fresh > soFar.fresh + 50, 'more requests');
    } finally {
      isOver = true;
      await Promise.all(load);
    }

    assert.deepEqual(failures, []);
    site.ca = trusted;
  });
});
