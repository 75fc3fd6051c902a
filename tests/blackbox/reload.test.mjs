// SIGHUP: configuration, keys and certificates are validated together, and used together or not at all.
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import tls from 'node:tls';

import { call, getUser, newAccount } from './support/client.mjs';
import { newCertificate } from './support/certificates.mjs';
import { command } from './support/fleet.mjs';
import { install } from './support/installation.mjs';
import { until } from './support/server.mjs';

describe('a reload', { timeout: 240_000 }, () => {
  let site;
  let server;
  let keys;
  const file = (name) => join(site.folder, name);
  before(async () => {
    site = await install({ toml: { server: ['shards = 2'], log: ['level = "info"'] } });
    copyFileSync(site.database.certificate, file('server.crt'));
    copyFileSync(join(dirname(site.database.certificate), 'localhost.key'), file('server.key'));
    site.sections.tls = [`certificate_file = "${file('server.crt')}"`, `private_key_file = "${file('server.key')}"`];
    keys = file('keys.json');
    site.write();
    server = await site.serve();
  });
  after(async () => site?.stop());

  const lines = () => server.output.all.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
  /** Reloads; resolves with the lines that came of it. */
  async function reload() {
    const before = lines().length;
    server.kill('SIGHUP');
    const ends = ({ event }) => event === 'reloaded' || event === 'reload_refused';
    await until(() => lines().slice(before).some(ends), 'the end of the reload');
    // The lines of one reload come together; the status of the manager comes after them.
    return lines().slice(before).filter(({ event }) => ends({ event }) || event === 'needs_restart');
  }
  const shown = () => new Promise((done, fail) => {
    const socket = tls.connect({ host: site.host, port: site.port, rejectUnauthorized: false, servername: 'localhost' }, () => {
      done(socket.getPeerCertificate().subject.CN);
      socket.destroy();
    });
    socket.on('error', fail);
  });
  const kids = async () => (await call(site, 'GET', '/.well-known/jwks.json')).json.keys.map(({ kid }) => kid).sort();
  /** Whether a sign-up is a slow request now. */
  const isSlow = async () => {
    const before = lines().length;
    const fresh = () => lines().slice(before).map(({ event }) => event);
    // All lines of the first are written before the second's.
    for (let i = 0; i < 2; ++i) await newAccount(site);
    await until(() => fresh().filter((event) => event === 'request').length === 2, 'the lines of both requests');
    return fresh().includes('slow_request');
  };

  test('with one broken part changes nothing at all, and says which and why', async () => {
    const [name, published] = [await shown(), await kids()];
    const fresh = newCertificate(site.folder, 'renewed');
    copyFileSync(fresh.certificate, file('server.crt')); // its key is still the old one
    assert.equal((await command(['keys', 'rotate', keys, '--lead', '1h'])).code, 0);
    site.sections.log = ['level = "info"', 'slow_request = "1ms"'];
    site.write();

    const said = await reload();

    assert.equal(said.length, 1, JSON.stringify(said));
    assert.equal(said[0].event, 'reload_refused');
    assert.equal(said[0].level, 'error');
    assert.equal(said[0].key, 'tls.private_key_file');
    assert.match(said[0].detail, /server\.key does not belong to certificate .*server\.crt: give the key it was issued for/);
    assert.match(said[0].msg, /all stay as they were/);
    assert.equal(await shown(), name);
    assert.deepEqual(await kids(), published, 'the rotated keys wait too');
    assert.equal(await isSlow(), false, 'and so does the configuration');

    copyFileSync(fresh.key, file('server.key'));
    const mended = await reload();

    assert.deepEqual(mended.map(({ event, changed }) => [event, changed]), [['reloaded', 'log.slow_request']]);
    assert.equal(await shown(), 'renewed');
    assert.equal((await kids()).length, published.length + 1);
    assert.equal(await isSlow(), true, 'the new threshold');
    site.ca = [site.ca, readFileSync(fresh.certificate)].flat();
  });

  test('with a broken configuration leaves certificate and keys alone, and tells every fault', async () => {
    const [name, published] = [await shown(), await kids()];
    const fresh = newCertificate(site.folder, 'unused');
    copyFileSync(fresh.certificate, file('server.crt'));
    copyFileSync(fresh.key, file('server.key'));
    const kept = readFileSync(keys);
    writeFileSync(keys, '{');
    site.sections.log = ['level = "loud"', 'slow_requst = "1s"'];
    site.write();

    const said = await reload();

    assert.deepEqual(said.map(({ event }) => event), Array(3).fill('reload_refused'));
    assert.deepEqual(said.map(({ key }) => key), ['log.level', 'log.slow_requst', 'keys.file']);
    assert.match(said[0].origin, /pam\.toml:\d+$/);
    assert.match(said[0].detail, /must be one of debug, info, warn, error, not "loud"/);
    assert.match(said[1].detail, /did you mean log\.slow_request/);
    assert.equal(await shown(), name);
    assert.deepEqual(await kids(), published);
    writeFileSync(keys, kept);
    copyFileSync(file('renewed.crt'), file('server.crt'));
    copyFileSync(file('renewed.key'), file('server.key'));
    site.sections.log = ['level = "info"'];
    site.write();
    assert.equal((await reload()).at(-1).event, 'reloaded');
  });

  test('says which changes wait for a restart, and goes on with the rest', async () => {
    const account = await newAccount(site);
    site.sections.limits = ['body_bytes = "32KiB"'];
    site.sections.log = ['level = "info"', 'flood_limit = 7'];
    site.write();

    const said = await reload();

    assert.deepEqual(said.map(({ event, key, changed }) => [event, key ?? changed]),
      [['needs_restart', 'limits.body_bytes'], ['reloaded', 'log.flood_limit']]);
    assert.equal((await getUser(site, account.access_token)).status, 200);
    site.sections.limits = [];
    site.write();
  });

  test('takes keys from another file', async () => {
    const other = file('other-keys.json');
    assert.equal((await command(['keys', 'generate', other])).code, 0);
    const published = await kids();
    site.sections.keys = [`file = "${other}"`];
    site.write();

    const said = await reload();

    assert.deepEqual(said.map(({ event, changed }) => [event, changed]), [['reloaded', 'keys.file']]);
    assert.equal((await kids()).some((kid) => published.includes(kid)), false);
  });
});
