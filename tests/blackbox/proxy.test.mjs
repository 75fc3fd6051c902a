// Behind balancers and proxies: whose address limits, sessions, audit events and logs see, and what becomes
// of connections that do not say it properly.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import tls from 'node:tls';

import { metric, newEmail, newPassword } from './support/client.mjs';
import { startHaproxy } from './support/balancers.mjs';
import { install } from './support/fleet.mjs';
import { parseAnswers } from './support/raw.mjs';
import { until } from './support/server.mjs';

const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const v2 = (command, family, rest) =>
  Buffer.concat([signature, Buffer.from([command, family, rest.length >> 8, rest.length & 255]), rest]);
const addressesOf = (source) => Buffer.from([...source.split('.').map(Number), 10, 0, 0, 1, 0xc0, 0, 1, 0xbb]);
const byV1 = (source) => Buffer.from(`PROXY TCP4 ${source} 10.0.0.1 49152 443\r\n`);
const byV2 = (source, tlvs = Buffer.alloc(0)) => v2(0x21, 0x11, Buffer.concat([addressesOf(source), tlvs]));

const signUpRequest = (email, fields = '') => {
  const body = JSON.stringify({ email, password: newPassword() });
  return `POST /auth/v1/signup HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${fields}`
    + `Content-Length: ${body.length}\r\n\r\n${body}`;
};
const get = (fields = '') => `GET /health HTTP/1.1\r\nHost: localhost\r\n${fields}\r\n`;

/**
 * Connects, sends the header's pieces outside of TLS, then the request; resolves with the first answer, or
 * with undefined when the server ended the connection before one.
 * @param options.from  address to connect from: any of 127.0.0.0/8
 */
function ask(server, request, { from = '127.0.0.1', header = [], isPlain = false } = {}) {
  return new Promise((done) => {
    let text = '';
    const socket = net.connect({ host: server.host, port: server.port, localAddress: from, noDelay: true });
    let stream = socket;
    const finish = () => (socket.destroy(), done(parseAnswers(text)[0]));
    const begin = () => {
      if (!isPlain) stream = tls.connect({ socket, ca: server.ca, servername: 'localhost' });
      stream.on('error', () => {});
      stream.on('close', finish);
      stream.on('data', (bytes) => {
        text += bytes.toString('latin1');
        const first = parseAnswers(text)[0];
        if (first && first.text.length >= Number(first.headers['content-length'] ?? 0)) finish();
      });
      if (request) stream.write(request);
    };
    socket.on('error', () => {});
    socket.on('close', finish);
    const pieces = [header].flat().map((piece) => Buffer.from(piece));
    const next = () => {
      const piece = pieces.shift();
      if (piece === undefined) return begin();
      // Each in a packet of its own: the next leaves when the kernel took the last.
      return socket.write(piece, () => setImmediate(next));
    };
    socket.on('connect', next);
  });
}

describe('behind a balancer', { timeout: 240_000 }, () => {
  let installation;
  let balanced; // TLS, PROXY protocol from 127.0.0.1 only
  let plain; // the same without TLS
  let proxied; // plaintext, X-Forwarded-For from 127.0.0.1
  const strict = { PAM_RATE_LIMITS__UNLIMITED: '', PAM_RATE_LIMITS__WRITE_PER_MINUTE: '60', PAM_RATE_LIMITS__HASH_PER_MINUTE: '6',
    PAM_LISTEN__TRUSTED_PROXIES: '127.0.0.1/32' };
  before(async () => {
    installation = await install();
    const protocol = { ...strict, PAM_LISTEN__PROXY_PROTOCOL: 'required', PAM_LIMITS__HEADER: '2s' };
    balanced = await installation.serve(protocol);
    plain = await installation.serve({ ...protocol, PAM_LISTEN__TLS: 'false' });
    proxied = await installation.serve({ ...strict, PAM_LISTEN__TLS: 'false', PAM_LISTEN__FORWARDED_HEADER: 'x-forwarded-for' });
  });
  after(() => installation?.end());

  /** Address in the session, in the audit event and in the log line of a sign-up. */
  async function assertSeen(server, expected, fields, options) {
    const email = newEmail();
    const answer = await ask(server, signUpRequest(email, fields), options);
    assert.equal(answer?.status, 200, answer?.text);
    const { id } = answer.json.user;
    assert.equal(await installation.sql(`SELECT host(ip) FROM sessions WHERE account_id = '${id}'`), expected);
    assert.equal(await installation.sql(`SELECT DISTINCT host(ip) FROM auth_events WHERE account_id = '${id}'`), expected);
    const line = () => server.output.all.split('\n').find((each) => each.includes(answer.headers['x-request-id']) && each.includes('"peer"'));
    await until(line, 'the line of the request', 5);
    assert.equal(JSON.parse(line()).peer, expected);
  }

  const headers = {
    'version 1': byV1('203.0.113.7'),
    'version 2': byV2('203.0.113.8'),
    'version 2 with TLVs': byV2('203.0.113.9', Buffer.concat([Buffer.from([0x04, 0, 2, 0, 0, 0xe0, 1, 0x2c]), Buffer.alloc(300, 7)])),
  };
  for (const [name, header] of Object.entries(headers)) {
    const client = `203.0.113.${7 + Object.keys(headers).indexOf(name)}`;
    test(`the client of ${name} is the one in the header, with TLS and without`, async () => {
      await assertSeen(balanced, client, '', { header });
      await assertSeen(plain, client, '', { header, isPlain: true });
    });
  }

  test('a header may come in any pieces, and together with what follows it', async () => {
    for (const header of [byV1('203.0.113.20'), byV2('203.0.113.20')]) {
      const bytewise = [...header].map((byte) => Buffer.from([byte]));
      assert.equal((await ask(balanced, get(), { header: bytewise }))?.status, 200);
      assert.equal((await ask(plain, '', { header: [Buffer.concat([header, Buffer.from(get())])], isPlain: true }))?.status, 200);
    }
  });

  test('a connection of the proxy itself keeps its own address', async () => {
    for (const [header, isPlain] of [['PROXY UNKNOWN\r\n', true], [v2(0x20, 0, Buffer.alloc(0)), false]]) {
      await assertSeen(isPlain ? plain : balanced, '127.0.0.1', '', { header, isPlain });
    }
  });

  test('each client has limits of its own', async () => {
    const bad = () => JSON.stringify({ email: newEmail(), password: newPassword() });
    const attempt = (client) => {
      const body = bad();
      return ask(balanced, `POST /auth/v1/token?grant_type=password HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`, { header: byV1(client) });
    };
    const flood = await Promise.all(Array.from({ length: 14 }, () => attempt('198.51.100.1')));

    assert.ok(flood.filter(({ status }) => status === 429).length >= 6);
    assert.equal((await attempt('198.51.100.2')).status, 400);
  });

  describe('a header is refused', () => {
    const refused = (server) => metric(server, 'pam_net_refused_proxy_header_total');
    const wrong = {
      'that is missing': get(),
      'that is malformed': 'PROXY TCP4 203.0.113.7 10.0.0.1 49152\r\n',
      'of a version to come': Buffer.concat([signature, Buffer.from([0x31, 0x11, 0, 12]), addressesOf('203.0.113.7')]),
      'without end': `PROXY UNKNOWN ${'x'.repeat(5000)}`,
      'longer than any we know': Buffer.concat([signature, Buffer.from([0x21, 0x11, 0xff, 0xff]), Buffer.alloc(70_000)]),
      'whose checksum is wrong': byV2('203.0.113.7', Buffer.from([3, 0, 4, 1, 2, 3, 4])),
    };
    for (const [name, header] of Object.entries(wrong)) {
      test(name, async () => {
        for (const [server, isPlain] of [[balanced, false], [plain, true]]) {
          const before = await refused(server);

          assert.equal(await ask(server, get(), { header, isPlain }), undefined);

          await until(async () => await refused(server) === before + 1, 'the refusal to be counted', 5);
          assert.equal((await ask(server, get(), { header: byV1('203.0.113.30'), isPlain }))?.status, 200);
        }
      });
    }

    test('from a network that is not trusted, which needs none', async () => {
      for (const header of [byV1('203.0.113.7'), byV2('203.0.113.7')]) {
        assert.equal(await ask(balanced, get(), { header, from: '127.0.0.9' }), undefined);
        assert.notEqual((await ask(plain, get(), { header, from: '127.0.0.9', isPlain: true }))?.status, 200);
      }
      await assertSeen(balanced, '127.0.0.9', '', { from: '127.0.0.9' });
    });

    test('that does not come in time', async () => {
      const late = () => metric(balanced, 'pam_net_timed_out_proxy_header_total');
      const before = await late();
      const silent = [[], [byV2('203.0.113.7').subarray(0, 20)], ['PROXY ']].map((header) => new Promise((closed) => {
        const socket = net.connect({ host: balanced.host, port: balanced.port });
        socket.on('error', () => {});
        socket.on('close', closed);
        for (const piece of header) socket.write(piece);
      }));

      await Promise.all(silent);

      await until(async () => await late() === before + 3, 'three to be counted', 5);
    });
  });

  describe('the field X-Forwarded-For', () => {
    const of = (value) => `X-Forwarded-For: ${value}\r\n`;

    test('names the client when the proxy is trusted', () =>
      assertSeen(proxied, '203.0.113.40', of('6.6.6.6') + of('203.0.113.40, 127.0.0.1'), { isPlain: true }));

    test('is not read from anybody else', () =>
      assertSeen(proxied, '127.0.0.8', of('203.0.113.41'), { from: '127.0.0.8', isPlain: true }));

    test('that hides the client leaves the proxy, and is counted', async () => {
      const before = await metric(proxied, 'pam_net_hidden_clients_total');

      await assertSeen(proxied, '127.0.0.1', of('203.0.113.42, unknown'), { isPlain: true });

      assert.equal(await metric(proxied, 'pam_net_hidden_clients_total') - before, 1);
    });

    test('is that of each request on a connection that is kept', async () => {
      const email = newEmail();
      const socket = net.connect({ host: proxied.host, port: proxied.port });
      let text = '';
      socket.on('data', (bytes) => (text += bytes));
      socket.write(get(of('203.0.113.50')) + signUpRequest(email, of('203.0.113.51')) + get());
      await until(() => parseAnswers(text).length === 3, 'three answers', 10);
      socket.destroy();

      assert.deepEqual(parseAnswers(text).map(({ status }) => status), [200, 200, 200]);
      assert.equal(await installation.sql(`SELECT host(ip) FROM sessions WHERE account_id = '${parseAnswers(text)[1].json.user.id}'`), '203.0.113.51');
    });
  });

  describe('HAProxy', () => {
    for (const option of ['send-proxy', 'send-proxy-v2', 'send-proxy-v2 proxy-v2-options crc32c,unique-id']) {
      test(`with ${option} passes TLS and the client through`, async () => {
        const balancer = await startHaproxy(`listen pam
  bind 127.0.0.1:PORT
${option.includes('unique-id') ? '  unique-id-format %rt-%ci\n' : ''}  server pam 127.0.0.1:${balanced.port} source 127.0.0.1 ${option}`);
        try {
          await assertSeen({ ...balanced, port: balancer.port }, '127.0.0.77', '', { from: '127.0.0.77' });
        } finally {
          await balancer.stop();
        }
      });
    }

    test('that ends TLS adds X-Forwarded-For to what the client wrote', async () => {
      const balancer = await startHaproxy(`listen pam
  bind 127.0.0.1:PORT
  option forwardfor
  server pam 127.0.0.1:${proxied.port} source 127.0.0.1`, { mode: 'http' });
      try {
        await assertSeen({ ...proxied, port: balancer.port }, '127.0.0.78', 'X-Forwarded-For: 6.6.6.6\r\n', { from: '127.0.0.78', isPlain: true });
      } finally {
        await balancer.stop();
      }
    });
  });
});
