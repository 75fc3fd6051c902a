// Clients that are slow or hostile on purpose, many at a time: the server keeps its memory, serves others, cuts
// each at its deadline and counts it. PAM_TEST_SLOW_CLIENTS (50) is how many of each kind, PAM_TEST_SLOW_READERS (500)
// how many do not read: the kernel holds their answers. docs/security.md has the figures of 10,000.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';

import { metric, newAccount } from './support/client.mjs';
import { install } from './support/fleet.mjs';
import { parseAnswers } from './support/raw.mjs';
import { attack } from './support/slow_clients.mjs';
import { until } from './support/server.mjs';

const clients = Number(process.env.PAM_TEST_SLOW_CLIENTS ?? 50);
const readers = Number(process.env.PAM_TEST_SLOW_READERS ?? 500);
/** Long enough for all of them to be there at the same time. */
const limit = clients > 1000 ? 20 : 3;

describe('slow clients', { timeout: 600_000 }, () => {
  let installation;
  let secure; // TLS
  let plain; // no TLS: the clients' side would cost more than the server's
  let account;
  before(async () => {
    installation = await install();
    const limits = Object.fromEntries(['HANDSHAKE', 'HEADER', 'BODY', 'WRITE'].map((name) => [`PAM_LIMITS__${name}`, `${limit}s`]));
    secure = await installation.serve(limits);
    plain = await installation.serve({ ...limits, PAM_LISTEN__TLS: 'false' });
    account = await newAccount(secure);
  });
  after(() => installation?.end());

  /** p99 in ms of requests that read a session, one after another, on one connection to the attacked server. */
  async function p99(server) {
    const module = server === plain ? http : https;
    const agent = new module.Agent({ keepAlive: true, maxSockets: 1, ca: server.ca, servername: 'localhost' });
    const read = () => new Promise((done, fail) => {
      module.get({ host: server.host, port: server.port, path: '/auth/v1/user', agent, headers: { authorization: `Bearer ${account.access_token}` } }, (response) => {
        response.resume();
        response.on('end', () => done(response.statusCode));
      }).on('error', fail);
    });
    assert.equal(await read(), 200); // the connection is there
    const times = [];
    for (let i = 0; i < 400; ++i) {
      const begun = performance.now();
      assert.equal(await read(), 200);
      times.push(performance.now() - begun);
    }
    agent.destroy();
    return times.sort((a, b) => a - b)[Math.floor(times.length * 0.99)];
  }

  /** What the kernel holds for TCP, in MiB. */
  const kernelMemory = () => Number(/^TCP: .* mem (\d+)/m.exec(readFileSync('/proc/net/sockstat', 'utf8'))[1]) * 4096 / 2 ** 20;
  const memory = (server) => metric(server, 'process_resident_memory_bytes');

  const attacks = [
    { name: 'header', counter: 'pam_net_timed_out_header_total', bytes: 'GET /health HTTP/1.1\r\nHost: a\r\nX-Slow: ' },
    { name: 'body', counter: 'pam_net_timed_out_body_total',
      bytes: 'POST /auth/v1/token?grant_type=password HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"email":"' },
    // The requests that were read, and nothing of the largest answer there is: a copy for each would be seen.
    { name: 'reader', counter: 'pam_net_timed_out_write_total', count: readers, beside: 4, bytes: 'GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(300) },
    // Until its first record is there a handshake has no OpenSSL object, from then on 45 KiB.
    { name: 'handshake', counter: 'pam_net_timed_out_handshake_total', isSecure: true, each: 4, bytes: Buffer.from('1603010200010001fc0303', 'hex') },
    { name: 'silent handshake', counter: 'pam_net_timed_out_handshake_total', isSecure: true, each: 4, bytes: '' },
    { name: 'handshake in two records', counter: 'pam_net_timed_out_handshake_total', isSecure: true, each: 64, count: Math.ceil(clients / 10),
      bytes: Buffer.from(`1603010010010001fc0303${'00'.repeat(10)}`, 'hex') },
  ];
  for (const { name, counter, bytes, isSecure, count = clients, each = 32, beside = 64 } of attacks) {
    test(`${count} with a slow ${name} cost bounded memory, and each is cut and counted`, async (t) => {
      const server = isSecure ? secure : plain;
      const [cutBefore, memoryBefore, quiet] = [await metric(server, counter), await memory(server), await p99(server)];

      const attackers = await attack(server, count, bytes);
      try {
        await until(async () => await metric(server, 'pam_net_connections_open') >= count, 'all to be accepted', limit);
        const grown = await memory(server) - memoryBefore;
        const kernel = kernelMemory();
        const loud = await p99(server);

        await until(async () => await metric(server, counter) - cutBefore >= count, 'all to be cut', 3 * limit + 30);
        assert.equal(await metric(server, counter) - cutBefore, count);
        t.diagnostic(`${name}: ${count} clients, ${(grown / 2 ** 20).toFixed(1)} MiB more (kernel ${kernel.toFixed(0)}), another client's p99 ${quiet.toFixed(2)} ms before, ${loud.toFixed(2)} ms during`);
        // A request's buffer, or OpenSSL's for half a handshake, and what incomplete requests may hold together.
        assert.ok(grown < count * each * 1024 + beside * 2 ** 20, `${grown} bytes`);
      } finally {
        await attackers.end();
      }
      await until(async () => await metric(server, 'pam_net_connections_open') < count / 2 + 10, 'the connections to be gone', 30);
    });
  }

  test('a flood of pipelined requests is answered to the last, in order', async (t) => {
    const count = clients * 20;
    const quiet = await p99(plain);
    const statuses = [];
    let rest = '';
    const socket = net.connect({ host: plain.host, port: plain.port });
    socket.on('data', (data) => {
      const lines = (rest + data.toString('latin1')).split('\r\n');
      rest = lines.pop();
      for (const line of lines) {
        const status = /HTTP\/1\.1 (\d{3}) /.exec(line);
        if (status) statuses.push(status[1]);
      }
    });
    socket.on('error', () => {});
    // Two kinds of answer, one right after the other: an answer that is lost or early breaks the pattern.
    const pair = 'GET /health HTTP/1.1\r\nHost: a\r\n\r\nGET /nothing HTTP/1.1\r\nHost: a\r\n\r\n';
    for (let i = 0; i < count; i += 100) socket.write(pair.repeat(50));

    const loud = await p99(plain);
    await until(() => statuses.length >= count, 'the answers', 60);
    socket.destroy();
    assert.equal(statuses.join(' '), Array.from({ length: count / 2 }, () => '200 404').join(' '));
    t.diagnostic(`pipelined: ${count} requests, another client's p99 ${quiet.toFixed(2)} ms before, ${loud.toFixed(2)} ms during`);
  });

  test('floods of header fields are refused at the limit', async () => {
    const refused = await metric(plain, 'pam_net_refused_too_large_total');
    const flood = () => new Promise((done) => {
      let text = '';
      const socket = net.connect({ host: plain.host, port: plain.port }, () =>
        socket.write(`GET /health HTTP/1.1\r\nHost: a\r\n${'X: y\r\n'.repeat(5000)}`));
      socket.on('data', (data) => (text += data));
      socket.on('error', () => {});
      socket.on('close', () => done(text));
    });
    const texts = [];
    // A few hundred at a time: beyond that it is this process that runs out of something.
    while (texts.length < clients) texts.push(...await Promise.all(Array.from({ length: Math.min(200, clients - texts.length) }, flood)));

    for (const text of texts) assert.deepEqual(parseAnswers(text).map(({ status }) => status), [431]);
    assert.equal(await metric(plain, 'pam_net_refused_too_large_total') - refused, clients);
  });
});
