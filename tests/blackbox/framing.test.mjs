// Request smuggling: the same bytes go to the server, to nginx and to HAProxy. Where a proxy would pass them
// on, the server must see the same number of requests, or refuse. Cases are generated; the seed is in the
// name of the test. PAM_TEST_SEED repeats one run, PAM_TEST_FRAMING_CASES (1,000) makes it longer.
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';

import { startHaproxy, startNginx, versionOf } from './support/balancers.mjs';
import { install } from './support/fleet.mjs';

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

function madeCase(number) {
  const pick = random(seed + number * 7919);
  const odd = Array.from({ length: 1 + pick(2) }, () => oddRequest(pick, number)).join('');
  return Buffer.from(`${odd}GET /health?c=${number}&marker HTTP/1.1\r\nHost: a\r\n\r\nGET /health?c=${number}&last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`, 'latin1');
}

/** Sends everything and resolves with what came back until the other side closed: all have limits of a second. */
const exchange = (to, bytes) => new Promise((done) => {
  let text = '';
  const socket = net.connect({ host: '127.0.0.1', port: to.port }, () => socket.write(bytes));
  socket.on('data', (data) => (text += data.toString('latin1')));
  socket.on('error', () => {});
  socket.on('close', () => done(text));
});

describe('framing', { timeout: 100_000 + cases * 100 }, () => {
  let installation;
  let server;
  const proxies = {};
  const upstreams = {};

  /** What a proxy passes on, by its number of the case. */
  async function startUpstream() {
    const seen = new Map();
    const upstream = http.createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
      const number = Number(/[?&]c=(\d+)/.exec(request.url)?.[1] ?? -1);
      const record = seen.get(number) ?? { begun: 0, complete: 0 };
      seen.set(number, record);
      record.begun += 1;
      request.resume();
      request.on('end', () => (record.complete += request.complete ? 1 : 0));
      request.on('error', () => {});
      request.on('end', () => response.end('ok'));
    });
    upstream.on('clientError', (error, socket) => socket.destroy());
    await new Promise((ready) => upstream.listen(0, '127.0.0.1', ready));
    return { port: upstream.address().port, seen, upstream };
  }

  before(async () => {
    installation = await install();
    server = await installation.serve({ PAM_LISTEN__TLS: 'false', PAM_LIMITS__HEADER: '1s', PAM_LIMITS__BODY: '1s', PAM_LIMITS__KEEP_ALIVE: '1s' });
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
    await installation?.end();
  });

  /** How many requests the server read, and whether it refused the next. */
  async function ours(bytes) {
    const statuses = parseHeadless(await exchange(server, bytes));
    const refused = statuses.findIndex((status) => ![200, 204, 404, 405].includes(status));
    return refused < 0 ? { accepted: statuses.length, refused: false, statuses } : { accepted: refused, refused: true, statuses };
  }

  async function theirs(name, bytes, number) {
    const statuses = parseHeadless(await exchange(proxies[name], bytes));
    const record = upstreams[name].seen.get(number) ?? { begun: 0, complete: 0 };
    return { ...record, refused: statuses.some((status) => status !== 200 && status !== 100), statuses };
  }

  /** Statuses in order; an answer to HEAD has no body, so heads are searched for, not counted out. */
  const parseHeadless = (text) => [...text.matchAll(/HTTP\/1\.[01] (\d{3}) /g)].map(([, status]) => Number(status)).filter((status) => status >= 200);

  function difference(we, they, name, bytes) {
    // Known: HAProxy drops whatever follows an HTTP/1.0 request with a body. What is dropped reaches nobody.
    if (name === 'HAProxy' && /HTTP\/1\.0/.test(bytes.toString('latin1')) && they.begun === they.complete) return null;
    // Node, which records what is passed on, refuses methods it does not know and a length among the trailers.
    if (they.statuses.includes(502) || /x(GET|POST|PUT|HEAD|DELETE) |post |0\r\nContent-Length: 5/.test(bytes.toString('latin1'))) return null;
    if (they.begun > they.complete && we.accepted > they.complete) return 'it waits for more of a body that we found complete';
    if (they.refused) return null;
    if (we.accepted > they.complete) return 'we read more requests';
    if (!we.refused && we.accepted !== they.complete) return 'we read fewer requests, and refused none';
    return null;
  }

  test('plain requests are counted the same by all three', async () => {
    const bytes = Buffer.from(`POST /health?c=0 HTTP/1.1\r\nHost: a\r\nContent-Length: ${hiddenIn(0).length}\r\n\r\n${hiddenIn(0)}`
      + 'GET /health?c=0&marker HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');

    assert.deepEqual((await ours(bytes)).statuses, [405, 200]);
    for (const name of Object.keys(proxies)) assert.equal((await theirs(name, bytes, 0)).complete, 2, name);
  });

  for (const name of ['nginx', 'HAProxy']) {
    test(`${cases} odd requests are never read otherwise than by ${name} ${versionOf(name.toLowerCase())} (PAM_TEST_SEED=${seed})`, async () => {
      const found = [];
      const suspects = [];
      let next = 1;
      let bothAccepted = 0;
      let weRefused = 0;
      const work = async () => {
        while (next <= cases) {
          const number = next++;
          const bytes = madeCase(number);
          const [we, they] = await Promise.all([ours(bytes), theirs(name, bytes, number)]);
          if (!we.refused && !they.refused) bothAccepted += 1;
          if (we.refused) weRefused += 1;
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

      assert.equal(found.length, 0, `${found.length} differences\n${found.slice(0, 5).join('\n')}`);
      // A generator whose requests everybody refuses would prove nothing.
      assert.ok(bothAccepted > cases / 20 && weRefused > cases / 20, `${bothAccepted} accepted, ${weRefused} refused of ${cases}`);
      assert.equal((await ours(madeCase(1))).statuses.length > 0, true, 'the server still serves');
    });
  }
});
