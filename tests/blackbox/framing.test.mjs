// Request smuggling: the same bytes go to the server's network layer, to nginx and to HAProxy. Where a proxy
// passes them on, the server must read the same requests with the same bodies, or refuse. Cases are generated,
// most of them unusual but right, so that all three accept them; the seed is in the name of the test.
// PAM_TEST_SEED repeats one run, PAM_TEST_FRAMING_CASES (1,000) makes it longer.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { startHaproxy, startNginx, versionOf } from './support/balancers.mjs';
import { binary, run, until } from './support/server.mjs';

const cases = Number(process.env.PAM_TEST_FRAMING_CASES ?? 1000);
const seed = Number(process.env.PAM_TEST_SEED ?? Date.now() % 2 ** 31);

/** Mulberry32: the same numbers for the same seed. */
function random(from) {
  let state = from >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const hiddenIn = (number) => `GET /health?c=${number}&hidden HTTP/1.1\r\nHost: a\r\n\r\n`;

/** One request that is odd in up to three ways; more often than not in one. */
function oddRequest(pick, number) {
  const hidden = hiddenIn(number);
  const one = (list) => list[pick(list.length)];
  const odd = (usual, ...others) => (pick(12) === 0 ? one(others) : usual);
  const body = one([hidden, hidden + hidden, 'x', '', `0\r\n\r\n${hidden}`]);
  const size = Buffer.byteLength(body);
  const hex = size.toString(16);
  const lengths = [`${size}`, `+${size}`, `-${size}`, `0${size}`, `${size},${size}`, `${size}, ${size + 1}`, `0x${hex}`, `${size} `, ` ${size}`,
    `\t${size}`, `${size}\0`, `${size}\v`, '', '0', `${size + 5}`, `${size}.0`, '18446744073709551616', `${2 ** 32 + size}`, `${size};q=1`, `"${size}"`, `${size}\r`];
  const codings = ['chunked', 'Chunked', 'chunked ', ' chunked', '\tchunked', 'chunked\0', 'xchunked', 'chunked, identity', 'identity, chunked', 'identity',
    'chunked, chunked', 'gzip, chunked', 'chunked;q=1', '"chunked"', 'chunk', '', ',chunked', 'chunked,', '\vchunked', 'identity\r\n , chunked', '\r\n chunked'];
  const name = (text) => odd(text, `${text} `, ` ${text}`, `${text}\t`, text.toUpperCase(), text.replace('-', '_'), `${text}\0`, `\0${text}`, `${text}\r`, `x${text}`);
  const colon = () => odd(': ', ':', ' : ', ':\t', ':\v', ':  ');
  const eol = () => (pick(40) === 0 ? one(['\n', '\r', '\n\r', '\r\r\n', '\r\n\r', '\0\r\n']) : '\r\n');

  const chunkSize = () => odd(hex, hex.toUpperCase(), `0${hex}`, `00000000${hex}`, `0x${hex}`, `+${hex}`, `${hex} `, ` ${hex}`, `${hex};a=b`, `${hex};a="\r\n"`,
    `${hex};\n`, `${hex}\t`, `1${'0'.repeat(15)}${hex}`, `1${'0'.repeat(16)}${hex}`, `-${hex}`, `${hex}\0`, `${hex}_`, '', 'g');
  const lastChunk = () => odd('0\r\n\r\n', '0\n\n', '0\r\n\n', '0\r\nX: y\r\n\r\n', '0;a\r\n\r\n', '00\r\n\r\n', '0\r\n X\r\n\r\n', '0\r\nContent-Length: 5\r\n\r\n', '0 \r\n\r\n', '\r\n', '0\r\n\r');
  const asChunks = () => `${size ? `${chunkSize()}${eol()}${body}${odd('\r\n', '\n', '', '\r', '\r\nx')}` : ''}${lastChunk()}`;

  const headers = [`${name('Host')}${colon()}${odd('a', '', 'a b', 'a,b', 'a/b', '@', 'a:80', 'a\0')}`];
  const framing = pick(6);
  const length = () => `${name('Content-Length')}${colon()}${odd(`${size}`, ...lengths)}`;
  const coding = () => `${name('Transfer-Encoding')}${colon()}${odd('chunked', ...codings)}`;
  let sent = body;
  if (framing <= 1) headers.push(length());
  if (framing === 2 || framing === 3) headers.push(coding()), sent = asChunks();
  if (framing === 4) headers.push(...(pick(2) ? [length(), coding()] : [coding(), length()])), sent = pick(2) ? asChunks() : body;
  if (framing === 5) headers.push(one([length, coding])(), one([length, coding])()), sent = pick(2) ? asChunks() : body;
  if (pick(12) === 0) headers.push(`Host: ${one(['a', 'b'])}`);
  if (pick(12) === 0) headers.push(one([' folded', '\tContent-Length: 3', ': x', 'X', 'X y: z', 'Connection: Content-Length', 'Connection: keep-alive',
    'Connection: Transfer-Encoding', 'Expect: 100-continue', 'Upgrade: h2c', 'X: \0', 'X: a\rb', 'X: a\nb', 'Content-Length', 'Trailer: Content-Length']));
  if (pick(6) === 0) headers.reverse();
  const version = odd('HTTP/1.1', 'HTTP/1.0', 'HTTP/1.2', 'HTTP/2.0', 'http/1.1', 'HTTP/1.1 ', 'HTTP/01.1', 'HTTP/1.10', 'HTTP/0.9', '');
  const start = `${odd('POST', 'GET', 'PUT', 'post', 'HEAD', ' POST', 'DELETE', 'POST\t')}${odd(' ', '  ', '\t', '\v')}/health?c=${number}${odd(' ', '  ', '\t')}${version}`;
  return `${pick(30) === 0 ? one(['\r\n', '\n', '\r', ' ']) : ''}${[start, ...headers].map((line) => line + eol()).join('')}${eol()}${sent}`;
}

/** One request that is right, in one of the many ways in which a request may be written. */
function unusualRequest(pick, number, place) {
  const one = (list) => list[pick(list.length)];
  const sometimes = (usual, ...others) => (pick(3) === 0 ? one(others) : usual);
  const anyCase = (text) => one([text, text.toUpperCase(), text.toLowerCase(), [...text].map((c, i) => (i % 2 ? c.toUpperCase() : c)).join('')]);
  // nginx takes no tab around the values it reads itself.
  const field = (name, value) => {
    const tabs = name.startsWith('X-') ? [':\t', ': \t '] : [];
    return `${anyCase(name)}${sometimes(': ', ':', ':  ', ...tabs)}${value}${sometimes('', ' ', '  ', ...tabs.map((text) => text.slice(1)))}\r\n`;
  };
  const hidden = hiddenIn(number);
  const bytes = () => Array.from({ length: 1 + pick(40) }, () => String.fromCharCode(pick(256))).join('');
  const piece = () => one([hidden, `${hidden}${hidden}`, 'x', '0\r\n\r\n', '\r\n', '\n', `0\r\n\r\n${hidden}`, `5\r\nabcde\r\n0\r\n\r\n`,
    'Content-Length: 3\r\n\r\n', bytes(), bytes(), 'y'.repeat(pick(5000)), `POST /health?c=${number}&hidden HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n`]);
  const body = Array.from({ length: pick(4) }, piece).join('');

  /** The body in chunks of any size, with extensions and trailers. */
  const chunked = () => {
    let text = '';
    for (let at = 0; at < body.length;) {
      const size = pick(4) === 0 ? body.length - at : Math.min(body.length - at, 1 + pick(one([2, 20, 300])));
      const hex = sometimes(size.toString(16), size.toString(16).toUpperCase(), `0${size.toString(16)}`, `000${size.toString(16)}`);
      text += `${hex}${pick(6) === 0 ? one([';a', ';a=b', ';a=b;c=d', ';long=' + 'z'.repeat(40)]) : ''}\r\n${body.slice(at, at + size)}\r\n`;
      at += size;
    }
    return `${text}${sometimes('0', '00', '000')}\r\n${pick(6) === 0 ? one(['X: y\r\n', 'X-Trailer: 5\r\nY: z\r\n']) : ''}\r\n`;
  };

  const method = sometimes('POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'GET');
  const framing = method === 'GET' ? 'none' : one(['length', 'length', 'chunks', 'chunks', 'none']);
  const fields = [field('Host', one(['a', 'a:80', 'localhost', '127.0.0.1']))];
  if (framing === 'length') fields.push(field('Content-Length', sometimes(`${body.length}`, `0${body.length}`, `000${body.length}`)));
  if (framing === 'chunks') fields.push(field('Transfer-Encoding', anyCase('chunked')));
  for (let more = pick(4); more > 0; --more) {
    fields.push(one([() => field(`X-Any-${more}`, bytes().replace(/[^\x21-\x7e]/g, '')), () => field('X-Empty', ''), () => field('Connection', 'keep-alive'),
      () => field('Accept', '*/*, text/html;q=0.5'), () => field('X-Content-Length', '7'), () => field('X-Transfer-Encoding', 'chunked'),
      () => field('Content-Type', 'text/plain'), () => field('X-Long', 'v'.repeat(pick(2000))), () => field('X-Latin', 'caf\xe9')])());
  }
  if (pick(3) === 0) fields.reverse();
  const target = `/health?c=${number}&${place}${sometimes('', '&a=b%20c', '&%00=1', '&x=/../y', '&q=%0d%0aX:1', '&;=1')}`;
  const empty = framing === 'none' && body === '' && pick(8) === 0 ? '\r\n' : '';
  return `${empty}${method} ${target} HTTP/1.1\r\n${fields.join('')}\r\n${framing === 'chunks' ? chunked() : framing === 'length' ? body : ''}`;
}

/** A third of the cases have an odd request among the right ones; all end with two plain ones. */
function madeCase(number) {
  const pick = random(seed + number * 7919);
  const requests = Array.from({ length: 1 + pick(3) }, (_, place) => unusualRequest(pick, number, place));
  if (pick(3) === 0) requests[pick(requests.length)] = oddRequest(pick, number);
  return Buffer.from(`${requests.join('')}GET /health?c=${number}&marker HTTP/1.1\r\nHost: a\r\n\r\nGET /health?c=${number}&last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`, 'latin1');
}

/** Sends everything and resolves with what came back until the other side closed: all have limits of a second. */
const exchange = (to, bytes) => new Promise((done) => {
  let text = '';
  const socket = net.connect({ host: '127.0.0.1', port: to.port }, () => socket.write(bytes));
  socket.on('data', (data) => (text += data.toString('latin1')));
  socket.on('error', () => {});
  socket.on('close', () => done(text));
});

/** As the server under test says what it read: method, target, length and hash of the body. */
const asRead = (method, target, body) => `${method} ${target} ${body.length} ${createHash('sha256').update(body).digest('hex').slice(0, 16)}`;

/** The network layer with a handler that tells what it read. */
async function startReader() {
  const { child, output, exited } = run([], {}, { program: join(dirname(binary), 'framing_server') });
  let ended = null;
  exited.then((how) => (ended = how), (error) => (ended = error.message));
  await until(() => {
    assert.equal(ended, null, `framing_server ended: ${JSON.stringify(ended)} (built by ./dev test --only blackbox)`);
    return output.all.endsWith('\n');
  }, 'the server to say its port');
  return { port: Number(output.all), async stop() {
    child.kill('SIGTERM');
    assert.deepEqual(await exited, { code: 0, signal: null }, output.all);
  } };
}

describe('framing', { timeout: 100_000 + cases * 100 }, () => {
  let server;
  const proxies = {};
  const upstreams = {};

  /** What a proxy passes on, by its number of the case. */
  async function startUpstream() {
    const seen = new Map();
    const upstream = http.createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
      const number = Number(/[?&]c=(\d+)/.exec(request.url)?.[1] ?? -1);
      const record = seen.get(number) ?? { begun: 0, complete: 0, read: [] };
      seen.set(number, record);
      record.begun += 1;
      const chunks = [];
      request.on('data', (chunk) => chunks.push(chunk));
      request.on('end', () => {
        if (request.complete) {
          record.complete += 1;
          record.read.push(asRead(request.method, request.url, Buffer.concat(chunks)));
        }
        response.end('ok');
      });
      request.on('error', () => {});
    });
    upstream.on('clientError', (error, socket) => socket.destroy());
    await new Promise((ready) => upstream.listen(0, '127.0.0.1', ready));
    return { port: upstream.address().port, seen, upstream };
  }

  before(async () => {
    server = await startReader();
    for (const name of ['nginx', 'HAProxy']) upstreams[name] = await startUpstream();
    proxies.nginx = await startNginx(`  server {
    listen 127.0.0.1:PORT;
    keepalive_timeout 1s;
    client_header_timeout 1s;
    client_body_timeout 1s;
    lingering_close off;
    location / {
      proxy_pass http://127.0.0.1:${upstreams.nginx.port};
      proxy_http_version 1.1;
      proxy_request_buffering off;
    }
  }`);
    proxies.HAProxy = await startHaproxy(`listen http
  bind 127.0.0.1:PORT
  option http-server-close
  timeout client 1s
  timeout http-request 1s
  timeout http-keep-alive 1s
  server upstream 127.0.0.1:${upstreams.HAProxy.port}`, { mode: 'http' });
  });
  after(async () => {
    for (const proxy of Object.values(proxies)) await proxy.stop();
    for (const { upstream } of Object.values(upstreams)) {
      upstream.closeAllConnections?.();
      upstream.close();
    }
    await server?.stop();
  });

  /** What the server read, and whether it refused the next. */
  async function ours(bytes) {
    const text = await exchange(server, bytes);
    const read = [...text.matchAll(/\r\nX-Read: (.*)\r\n/g)].map(([, what]) => what);
    return { read, accepted: read.length, refused: parseHeadless(text).some((status) => status !== 200) };
  }

  async function theirs(name, bytes, number) {
    const statuses = parseHeadless(await exchange(proxies[name], bytes));
    const record = upstreams[name].seen.get(number) ?? { begun: 0, complete: 0, read: [] };
    return { ...record, refused: statuses.some((status) => status !== 200), statuses };
  }

  /** Statuses in order; an answer to HEAD has no body, so heads are searched for, not counted out. */
  const parseHeadless = (text) => [...text.matchAll(/HTTP\/1\.[01] (\d{3}) /g)].map(([, status]) => Number(status)).filter((status) => status >= 200);

  function difference(we, they, name, bytes) {
    const text = bytes.toString('latin1');
    // Node, which records what is passed on, refuses methods it does not know and a length among the trailers.
    if (they.statuses.includes(502) || we.read.some((each) => each.startsWith('other ')) || /0\r\nContent-Length: 5/.test(text)) return null;
    // Whatever both of them read, they read alike.
    for (let i = 0; i < Math.min(we.read.length, they.read.length); ++i) {
      if (we.read[i] !== they.read[i]) return `request ${i} was read otherwise`;
    }
    if (they.begun > they.complete && we.accepted > they.complete) return 'it waits for more of a body that we found complete';
    // A request that is right is refused only where what stood before it has left something over. Known: both
    // proxies skip a CR or LF in front of a request, which a header that ends with one too many leaves there.
    const served = they.statuses.findIndex((status) => status !== 200);
    if (we.refused && !/\n\r\n\r(?!\n)/.test(text) && (served < 0 || served > we.accepted) && /\?c=\d+&(marker|last|\d)/.test(they.read[we.accepted] ?? '')) return 'we refused a right request that it read';
    // Known: HAProxy drops whatever follows an HTTP/1.0 request with a body. What is dropped reaches nobody.
    if (name === 'HAProxy' && /HTTP\/1\.0/.test(text) && they.begun === they.complete) return null;
    if (they.refused) return null;
    if (we.accepted > they.complete) return 'we read more requests';
    if (!we.refused && we.accepted !== they.complete) return 'we read fewer requests, and refused none';
    return null;
  }

  test('plain requests are read the same by all three', async () => {
    const bytes = Buffer.from(`POST /health?c=0 HTTP/1.1\r\nHost: a\r\nContent-Length: ${hiddenIn(0).length}\r\n\r\n${hiddenIn(0)}`
      + 'GET /health?c=0&marker HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    const expected = [asRead('POST', '/health?c=0', hiddenIn(0)), asRead('GET', '/health?c=0&marker', '')];

    assert.deepEqual(await ours(bytes), { read: expected, accepted: 2, refused: false });
    for (const name of Object.keys(proxies)) assert.deepEqual((await theirs(name, bytes, 0)).read, expected, name);
  });

  for (const name of ['nginx', 'HAProxy']) {
    test(`${cases} unusual and odd requests are never read otherwise than by ${name} ${versionOf(name.toLowerCase())} (PAM_TEST_SEED=${seed})`, async (t) => {
      const found = [];
      const suspects = [];
      let next = 1;
      const counts = { whole: 0, requests: 0, weRefused: 0, theyRefused: 0 };
      const work = async () => {
        while (next <= cases) {
          const number = next++;
          const bytes = madeCase(number);
          const [we, they] = await Promise.all([ours(bytes), theirs(name, bytes, number)]);
          if (!we.refused && !they.refused) counts.whole += 1;
          counts.requests += Math.min(we.read.length, they.read.length);
          counts.weRefused += we.refused ? 1 : 0;
          counts.theyRefused += they.refused ? 1 : 0;
          if (process.env.PAM_TEST_FRAMING_SHOW && (we.refused || they.refused)) console.error(JSON.stringify({ number, we: we.refused, they: they.refused, accepted: we.accepted, complete: they.complete, bytes: bytes.toString('latin1').slice(0, 400) }));
          if (difference(we, they, name, bytes)) suspects.push(number);
        }
      };
      await Promise.all(Array.from({ length: 50 }, work));
      // A busy machine can make a proxy give up on a client; framing is the same every time.
      for (const number of suspects) {
        upstreams[name].seen.delete(number);
        const bytes = madeCase(number);
        const [we, they] = await Promise.all([ours(bytes), theirs(name, bytes, number)]);
        const what = difference(we, they, name, bytes);
        if (what) found.push(`case ${number}: ${what}\nours ${JSON.stringify(we)}, theirs ${JSON.stringify(they)}\n${JSON.stringify(bytes.toString('latin1'))}`);
      }

      t.diagnostic(`${name}: ${counts.whole} of ${cases} cases compared whole, ${counts.requests} requests and bodies; ${counts.weRefused} refused by us, ${counts.theyRefused} by it`);
      assert.equal(found.length, 0, `${found.length} differences\n${found.slice(0, 5).join('\n')}`);
      // A generator whose requests everybody refuses would prove nothing, one whose requests nobody refuses little.
      assert.ok(counts.whole > cases * 0.6 && counts.weRefused > cases / 20, JSON.stringify(counts));
      const plain = Buffer.from('GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      assert.deepEqual((await ours(plain)).read, [asRead('GET', '/health', '')], 'the server still serves');
    });
  }
});
