// Bytes on the wire that no client sends and every attacker does. Raw TLS sockets.
import assert from 'node:assert/strict';
import tls from 'node:tls';
import { after, before, describe, test } from 'node:test';

import { call, callInternal, forget } from './support/client.mjs';
import { answersIn, connect, exchange } from './support/raw.mjs';
import { quickStop, startServer, until } from './support/server.mjs';

const get = (path = '/health', more = '') => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`;

describe('the wire', { timeout: 120_000 }, () => {
  let server;
  before(async () => (server = await startServer({ env: {
    ...quickStop, PAM_LIMITS__HEADER: '700ms', PAM_LIMITS__BODY: '700ms', PAM_LIMITS__HANDSHAKE: '700ms' } })));
  after(async () => {
    forget(server);
    await server?.stop();
  });

  /** Whatever a test did, the server serves the next client. */
  const assertServes = async () => assert.equal((await call(server, 'GET', '/health')).status, 200);

  describe('framing', () => {
    const post = (headers, body = '') => `POST /auth/v1/signup HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n${body}`;
    const refused = {
      'two different Content-Lengths': [400, post('Content-Length: 2\r\nContent-Length: 3\r\n', '{} ')],
      'two equal Content-Lengths': [400, post('Content-Length: 2\r\nContent-Length: 2\r\n', '{}')],
      'a list in Content-Length': [400, post('Content-Length: 2, 2\r\n', '{}')],
      'a negative Content-Length': [400, post('Content-Length: -1\r\n')],
      'a signed Content-Length': [400, post('Content-Length: +2\r\n', '{}')],
      'a hexadecimal Content-Length': [400, post('Content-Length: 0x2\r\n', '{}')],
      'an endless Content-Length': [400, post('Content-Length: 99999999999999999999999999\r\n')],
      'Transfer-Encoding with Content-Length': [400, post('Transfer-Encoding: chunked\r\nContent-Length: 2\r\n', '0\r\n\r\n')],
      'an unknown Transfer-Encoding': [[400, 501], post('Transfer-Encoding: gzip\r\n')],
      'a hidden chunked': [[400, 501], post('Transfer-Encoding: chunked, identity\r\n', '0\r\n\r\n')],
      'two Transfer-Encodings': [[400, 501], post('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n', '0\r\n\r\n')],
      'a space before the colon': [400, get('/health', 'X-A : 1\r\n')],
      'a folded header': [400, get('/health', 'X-A: 1\r\n  2\r\n')],
      'a bare line feed': [400, 'GET /health HTTP/1.1\nHost: localhost\n\n'],
      'a bare line feed after a header': [400, get('/health', 'X-A: 1\nX-B: 2\r\n')],
      'a bare carriage return': [400, get('/health', 'X-A: 1\rX-B: 2\r\n')],
      'a NUL in a header': [400, get('/health', 'X-A: 1\0\r\n')],
      'a control character in a header': [400, get('/health', 'X-A: 1\u0001\r\n')],
      'a header without a name': [400, get('/health', ': 1\r\n')],
      'a header without a colon': [400, get('/health', 'X-A\r\n')],
      'no Host': [400, 'GET /health HTTP/1.1\r\n\r\n'],
      'two Hosts': [400, get('/health', 'Host: evil.example\r\n')],
      'a space in the target': [[400, 505], get('/he alth')],
      'a NUL in the target': [400, get('/he\0alth')],
      'an unknown version': [[400, 505], 'GET /health HTTP/3.7\r\nHost: localhost\r\n\r\n'],
      'no version': [400, 'GET /health\r\n\r\n'],
      'another protocol': [400, 'SSH-2.0-OpenSSH_9.2\r\n\r\n'],
      'the preface of HTTP/2': [[400, 505], 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
      'more than a hundred headers': [431, get('/health', Array.from({ length: 120 }, (_, i) => `X-${i}: 1\r\n`).join(''))],
      'headers over 16 KB': [431, get('/health', `X-A: ${'a'.repeat(20_000)}\r\n`)],
      'an endless target': [[414, 431], get(`/${'a'.repeat(20_000)}`)],
      'a broken chunk size': [400, post('Transfer-Encoding: chunked\r\n', 'zz\r\n')],
      'an endless chunk size': [[400, 413], post('Transfer-Encoding: chunked\r\n', 'ffffffffffffffffff\r\n')],
      'chunks over the limit': [413, post('Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n', `20000\r\n${'x'.repeat(0x20000)}\r\n0\r\n\r\n`)],
      'a Content-Length over the limit': [413, post('Content-Length: 1048576\r\nContent-Type: application/json\r\n')],
    };
    for (const [name, [statuses, bytes]] of Object.entries(refused)) {
      test(`${name} is refused and the connection ends`, async () => {
        const { answers, closed } = await exchange(server, Buffer.from(bytes, 'latin1'));

        assert.equal(answers.length, 1, 'exactly one answer');
        const [answer] = answers;
        assert.ok([statuses].flat().includes(answer.status), `${answer.status} ${answer.text}`);
        assert.match(answer.headers['content-type'], /^application\/problem\+json/);
        assert.equal(answer.json.status, answer.status);
        assert.notEqual(answer.json.error_code, 'unexpected_failure', 'the fault is the client\'s');
        assert.equal(answer.json.request_id, answer.headers['x-request-id']);
        assert.ok(closed);
        await assertServes();
      });
    }

    test('a second request hidden in a refused one is never served', async () => {
      const bytes = post('Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', `0\r\n\r\n${get('/auth/v1/settings')}`);

      const { answers } = await exchange(server, bytes);

      assert.deepEqual(answers.map(({ status }) => status), [400]);
    });
  });

  describe('connections', () => {
    test('serve several requests, one after another', async () => {
      const { answers } = await exchange(server, [get(), get('/auth/v1/settings'), get('/nothing')], answersIn(3));

      assert.deepEqual(answers.map(({ status }) => status), [200, 200, 404]);
    });

    test('serve requests sent in one piece in their order', async () => {
      const { answers } = await exchange(server, get() + get('/nothing') + get('/auth/v1/settings'), answersIn(3));

      assert.deepEqual(answers.map(({ status }) => status), [200, 404, 200]);
    });

    test('take a request byte by byte', async () => {
      const { answers } = await exchange(server, [...get()], answersIn(1));

      assert.equal(answers[0].status, 200);
    });

    test('take a body in chunks', async () => {
      const bytes = 'POST /auth/v1/token?grant_type=refresh_token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n'
        + 'Transfer-Encoding: chunked\r\n\r\n9\r\n{"refresh\r\n9;ext=1\r\n_token":"\r\n3\r\nx"}\r\n0\r\n\r\n';

      const { answers } = await exchange(server, bytes, answersIn(1));

      assert.equal(answers[0].status, 400);
      assert.equal(answers[0].json.error_code, 'refresh_token_not_found');
    });

    test('are told to go on before a large body', async () => {
      const body = '{"refresh_token":"x"}';
      const socket = await connect(server);
      let text = '';
      socket.on('data', (bytes) => (text += bytes));
      socket.write('POST /auth/v1/token?grant_type=refresh_token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n'
        + `Expect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`);

      await until(() => text.startsWith('HTTP/1.1 100'), '100 Continue', 5);
      socket.write(body);
      await until(() => text.includes('refresh_token_not_found'), 'the answer', 5);
      socket.destroy();
    });

    test('end when the client asks for it', async () => {
      const { answers, closed } = await exchange(server, get('/health', 'Connection: close\r\n'));

      assert.equal(answers[0].status, 200);
      assert.match(answers[0].headers.connection, /close/i);
      assert.ok(closed);
    });

    test('that end in the middle of a request do no harm', async () => {
      const whole = 'POST /auth/v1/signup HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n{"email":"a@exa';
      for (let length = 1; length < whole.length; length += 9) {
        const socket = await connect(server);
        socket.on('error', () => {});
        await new Promise((sent) => socket.write(whole.slice(0, length), sent));
        socket.destroy();
      }
      await assertServes();
    });

    for (const [name, start] of Object.entries({
      header: 'GET /health HTTP/1.1\r\nHost: loc', 'first line': 'GE',
      body: 'POST /auth/v1/signup HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n{"em',
    })) {
      test(`with a slow ${name} are cut`, async () => {
        // Resolves only when the server closes: the test's own time limit is the assertion.
        const { answers, closed } = await exchange(server, start);

        assert.ok(closed);
        for (const { status } of answers) assert.ok([408, 504].includes(status), String(status));
        await assertServes();
      });
    }

    test('with a drip of header bytes are cut all the same', async () => {
      const socket = await connect(server);
      socket.on('error', () => {});
      let isClosed = false;
      socket.on('close', () => (isClosed = true));
      socket.resume();
      socket.write('GET /health HTTP/1.1\r\n');

      await until(() => {
        if (!isClosed) socket.write('X');
        return isClosed;
      }, 'the slow client to be cut', 15);
    });

    test('that never finish their handshake are cut', async () => {
      const { default: net } = await import('node:net');
      const socket = net.connect(server.port, server.host);
      socket.on('error', () => {});
      socket.resume();

      await new Promise((closed) => socket.once('close', closed));
    });

    test('that speak plain HTTP to the TLS port get no service', async () => {
      const { default: net } = await import('node:net');
      const socket = net.connect(server.port, server.host, () => socket.write(get()));
      socket.on('error', () => {});
      let text = '';
      socket.on('data', (bytes) => (text += bytes.toString('latin1')));

      await new Promise((closed) => socket.once('close', closed));

      assert.ok(!text.includes('200 OK'));
      await assertServes();
    });
  });

  describe('TLS', () => {
    const handshake = (options) => new Promise((done) => {
      const socket = tls.connect({ host: server.host, port: server.port, ca: server.ca, servername: 'localhost', ...options });
      socket.once('secureConnect', () => {
        done({ protocol: socket.getProtocol(), cipher: socket.getCipher(), alpn: socket.alpnProtocol });
        socket.destroy();
      });
      socket.once('error', (error) => done({ error }));
    });

    test('1.2 and 1.3 are spoken, with authenticated ciphers only', async () => {
      assert.equal((await handshake({ minVersion: 'TLSv1.3' })).protocol, 'TLSv1.3');
      const old = await handshake({ maxVersion: 'TLSv1.2' });
      assert.equal(old.protocol, 'TLSv1.2');
      assert.match(old.cipher.name, /^ECDHE-.*(GCM|CHACHA20)/);
    });

    test('1.1 and static or CBC ciphers are not', async () => {
      for (const options of [{ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
        { maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256' }, { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA' }]) {
        assert.ok((await handshake(options)).error);
      }
    });

    test('offers HTTP/1.1 and nothing else', async () => {
      assert.equal((await handshake({ ALPNProtocols: ['h2', 'http/1.1'] })).alpn, 'http/1.1');
    });
  });

  test('nothing above was answered with a server error', async () => {
    const { text } = await callInternal(server, '/metrics');

    assert.match(text, /^pam_http_requests_total\{[^}]*status="4xx"/m);
    // Refusals of the parser (501, 505) belong to no route.
    assert.doesNotMatch(text, /^pam_http_requests_total\{route="(?!unmatched")[^}]*status="5xx"/m);
  });
});
