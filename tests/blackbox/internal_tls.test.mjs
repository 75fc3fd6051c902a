// The internal port with a certificate of its own, open to clients that show one: curl and openssl ask.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { newAuthority, newCertificate } from './support/certificates.mjs';
import { command } from './support/fleet.mjs';
import { install } from './support/installation.mjs';
import { until } from './support/server.mjs';

describe('the internal port with client certificates', { timeout: 180_000 }, () => {
  let site;
  let server;
  let own;
  let right;
  let wrong;
  before(async () => {
    site = await install();
    own = newCertificate(site.folder, 'internal');
    const [ours, theirs] = [newAuthority(site.folder, 'ours'), newAuthority(site.folder, 'theirs')];
    [right, wrong] = [ours.issue('scraper'), theirs.issue('stranger')];
    copyFileSync(ours.certificate, join(site.folder, 'clients.crt'));
    copyFileSync(theirs.certificate, join(site.folder, 'other-clients.crt'));
    site.sections.internal.push(`certificate_file = "${own.certificate}"`, `private_key_file = "${own.key}"`,
      `client_ca_file = "${join(site.folder, 'clients.crt')}"`);
    site.write();
    server = await site.serve();
  });
  after(async () => site?.stop());

  /** What curl got: {code, status, text}. */
  const curl = (path, client, more = []) => new Promise((done) => {
    const show = client ? ['--cert', client.certificate, '--key', client.key] : [];
    execFile('curl', ['--silent', '--show-error', '--cacert', own.certificate, ...show, ...more, '--write-out', '\n%{http_code}',
      `https://localhost:${site.internal_port}${path}`], (failure, out, err) => {
      done({ code: failure?.code ?? 0, status: Number(out.split('\n').at(-1)), text: out + err });
    });
  });
  const sClient = (args) => new Promise((done) => {
    const child = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${site.internal_port}`, '-ign_eof', ...args]);
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (text += bytes));
    child.stdin.on('error', () => {});
    child.on('close', () => done(text));
    child.stdin.end('GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
  });

  for (const version of ['1.2', '1.3']) {
    const only = ['--tls-max', version, `--tlsv${version}`];
    test(`answers a client of its authority over TLS ${version}`, async () => {
      for (const path of ['/livez', '/readyz', '/metrics']) assert.equal((await curl(path, right, only)).status, 200);
    });

    test(`answers nobody without a certificate over TLS ${version}`, async () => {
      const got = await curl('/metrics', null, only);

      assert.notEqual(got.code, 0);
      assert.equal(got.status, 0);
      assert.match(got.text, /certificate required|handshake failure/i);
    });

    test(`answers nobody with a certificate of another authority over TLS ${version}`, async () => {
      const got = await curl('/metrics', wrong, only);

      assert.notEqual(got.code, 0);
      assert.equal(got.status, 0);
      assert.match(got.text, /unknown ca/i);
    });
  }

  test('tells clients which authority it asks for, and gives no session to resume without one', async () => {
    for (const version of ['-tls1_2', '-tls1_3']) {
      const said = await sClient([version, '-cert', right.certificate, '-key', right.key]);

      assert.match(said, /HTTP\/1\.1 200 OK/);
      assert.match(said, /Acceptable client certificate CA names\nCN = ours\n/);
      assert.doesNotMatch(said, /TLS session ticket:/);
    }
  });

  test('speaks no plain HTTP', async () => {
    const asked = await new Promise((done) => execFile('curl', ['--silent', '--show-error',
      `http://localhost:${site.internal_port}/metrics`], (failure, out) => done({ code: failure?.code ?? 0, out })));

    assert.notEqual(asked.code, 0);
    assert.equal(asked.out, '');
  });

  test('takes another authority on SIGHUP', async () => {
    copyFileSync(join(site.folder, 'other-clients.crt'), join(site.folder, 'clients.crt'));
    server.kill('SIGHUP');

    await until(async () => (await curl('/livez', wrong)).status === 200, 'the other authority');

    assert.notEqual((await curl('/livez', right)).code, 0);
  });

  test('is refused with an authority that is none, or without a certificate of its own', async () => {
    const env = (more) => ({ PAM_SERVER__CONTROL_SOCKET: '', PAM_LISTEN__PORT: '0', PAM_INTERNAL__PORT: '0', ...more });
    const none = await command(['serve', '--config', site.config], env({ PAM_INTERNAL__CLIENT_CA_FILE: own.key }));
    assert.equal(none.code, 1);
    assert.match(none.err, /hold no acceptable PEM certificate/);

    const alone = await command(['config', 'check', site.config],
      { PAM_INTERNAL__CERTIFICATE_FILE: '', PAM_INTERNAL__PRIVATE_KEY_FILE: '' });
    assert.equal(alone.code, 1);
    assert.match(alone.err, /internal\.client_ca_file needs internal\.certificate_file/);
  });
});
