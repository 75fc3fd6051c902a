// `./dev bench net`: what one connection, request, handshake, refresh and login costs the server, beside
// nginx, OpenSSL and libsodium in the same run. targets.md P2, P3, P4, P5, P9, P12.
import { writeFileSync } from 'node:fs';
import { join, resolve, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { cpuOf, fetchText, metricIn, residentOf, start, stop } from '../../load-tests/runner/index.mjs';
import { Place, median } from './place.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const { values: options } = parseArgs({ options: { json: { type: 'string' }, rounds: { type: 'string', default: '5' },
  only: { type: 'string', default: 'start,requests,handshakes,memory,refresh,login' }, connections: { type: 'string', default: '15000' } } });
const rounds = Number(options.rounds);
const wanted = new Set(options.only.split(','));
const results = [];

const get = (path, more = '') => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`;
const post = (path, body) => `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

/** @param isRatioLow  a cost: the ratio must stay at or below the target */
function record(name, unit, ours, reference, target, isRatioLow, samples,
  ratio = reference === null ? ours : isRatioLow ? ours / reference : reference / ours) {
  const met = isRatioLow ? ratio <= target : ratio >= target;
  results.push({ name, unit, ours, reference, ratio, target, met, samples });
  const show = (value) => (value === null ? '-' : value.toFixed(2));
  process.stdout.write(`${name.padEnd(44)}${unit.padEnd(16)}${show(ours).padStart(10)}${show(reference).padStart(10)}${show(ratio).padStart(8)}${
    `${isRatioLow ? '<=' : '>='} ${target}`.padStart(10)}  ${met ? 'met' : 'MISSED'}\n`);
}

const say = (text) => process.stderr.write(`    ${text}\n`);
const busy = (list) => `${(median(list.map((one) => one.server_cores)) * 100).toFixed(0)} %`;
const slices = 10; // for each of --rounds
const sliceSeconds = 0.2;
const many = 1024; // connections, where the others have 64

/** Of ratios: their mean, and how far it may be from what endless rounds would give (one standard error). */
function geometricMean(ratios) {
  const logs = ratios.map(Math.log);
  const mean = logs.reduce((sum, one) => sum + one, 0) / logs.length;
  const variance = logs.reduce((sum, one) => sum + (one - mean) ** 2, 0) / Math.max(1, logs.length - 1);
  return { mean: Math.exp(mean), error: Math.exp(mean) * Math.sqrt(variance / logs.length) };
}

async function measureStart(place) {
  const samples = [];
  for (let i = 0; i < rounds; ++i) {
    const server = await place.serve();
    samples.push({ ready_ms: server.ready_ms, resident_mib: residentOf(server.pid) / 1048576 });
    await stop(server);
  }
  record('P9 start to ready', 'ms', median(samples.map((one) => one.ready_ms)), null, 300, true, samples);
  record('P9 resident when idle', 'MiB', median(samples.map((one) => one.resident_mib)), null, 35, true, samples);
}

async function measureRequests(place, { ours, plain, nginx, users }) {
  const floor = await place.floor(ours, get('/health'));
  const health = place.requests('health', [get('/health')]);
  const user = place.requests('user', users.map(({ access_token: token }) => get('/auth/v1/user', `Authorization: Bearer ${token}\r\n`)));
  const contestants = [
    ['nginx_plain', nginx, nginx.plain, health, false], ['plain', plain, plain.port, health, false], ['nginx_tls', nginx, nginx.tls, health, true],
    ['floor', floor, floor.port, health, true], ['tls', ours, ours.port, health, true], ['user', ours, ours.port, user, true],
    ['nginx_many', nginx, nginx.tls, health, true, many], ['many', ours, ours.port, health, true, many]];
  const seen = Object.fromEntries(contestants.map(([name]) => [name, []]));
  // Short slices, each server first in its turn: the pace of a virtual machine changes by a third within seconds.
  for (let i = 0; i < rounds * slices; ++i) {
    for (let j = 0; j < contestants.length; ++j) {
      const [name, server, port, requests, isTls, connections] = contestants[(i + j) % contestants.length];
      seen[name].push(await place.hammer(server, port, requests, { isTls, connections, seconds: sliceSeconds }));
    }
  }
  const ratio = (name, target, mine, theirs) => {
    const { mean, error } = geometricMean(mine.map((one, i) => theirs[i].cpu_us / one.cpu_us));
    record(name, 'us CPU/request', median(mine.map((one) => one.cpu_us)), median(theirs.map((one) => one.cpu_us)), target, false, { ours: mine, reference: theirs }, mean);
    const [own, other] = [mine, theirs].map((list) => list.map((one) => one.rate)).map((rates) => `${Math.min(...rates).toFixed(0)} to ${Math.max(...rates).toFixed(0)}`);
    say(`ratio within a round, geometric mean of ${mine.length}: ${mean.toFixed(3)}, standard error ${error.toFixed(3)}`);
    say(`answers/s: ours ${own}; reference ${other}; median of the server's core: ours ${busy(mine)}, reference ${busy(theirs)}`);
  };
  ratio('P4 /health plaintext', 1.0, seen.plain, seen.nginx_plain);
  ratio('P4 /health TLS', 1.3, seen.tls, seen.nginx_tls);
  ratio(`P4 /health TLS, ${many} connections`, 1.3, seen.many, seen.nginx_many);
  // No target of ours: what is left of it for a server, and whether 1.3 can be reached on this machine.
  ratio('floor: epoll and OpenSSL, /health TLS', 1.3, seen.floor, seen.nginx_tls);
  ratio('P4 GET /user TLS', 0.3, seen.user, seen.nginx_tls);
}

async function measureHandshakes(place, { ours, nginx }) {
  const health = place.requests('health', [get('/health')]);
  const seen = { full: { ours: [], nginx: [] }, resumed: { ours: [], nginx: [] } };
  for (let i = 0; i < rounds; ++i) {
    for (const [kind, resumes] of [['full', false], ['resumed', true]]) {
      seen[kind].nginx.push(await place.handshakes(nginx, nginx.tls, health, 2000, { resumes }));
      seen[kind].ours.push(await place.handshakes(ours, ours.port, health, 2000, { resumes }));
    }
  }
  const medians = ({ ours: mine, nginx: theirs }) => [mine, theirs].map((list) => median(list.map((one) => one.cpu_us)));
  record('P12 full handshake with one request', 'us CPU', medians(seen.full)[0], null, 290, true, seen.full);
  record('P12 the same, against nginx', 'us CPU', ...medians(seen.full), 1, true, seen.full);
  // No target of ours: what a client costs who comes back after a restart.
  record('resumed handshake with one request', 'us CPU', ...medians(seen.resumed), 1, true, seen.resumed);
}

async function measureMemory(place, { ours, nginx }) {
  const health = place.requests('health', [get('/health')]);
  const count = Number(options.connections);
  const theirs = await place.hold(nginx, nginx.tls, health, count);
  const mine = await place.hold(ours, ours.port, health, count);
  record(`P5 idle TLS connection, of ${count}`, 'KiB resident', mine.kib, null, 14.6, true, { ours: [mine], nginx: [theirs] });
  record('P5 the same, against nginx', 'KiB resident', mine.kib, theirs.kib, 1, true, { ours: [mine], nginx: [theirs] });
  say(`kernel memory of both ends beside it: ours ${mine.kernel_kib_both_ends.toFixed(1)} KiB, nginx ${theirs.kernel_kib_both_ends.toFixed(1)} KiB a connection`);
}

// Users of one run, and how long they think between two refreshes: 2,000 a second, and as many as the other core,
// which has PostgreSQL, PgBouncer and the users themselves, can take.
const refreshers = 200;
const thinking = { slow: '0.1', fast: '0.01' };

/** The server's CPU for a refresh over TLS, by users of swarm who do nothing else. */
async function refreshes(place, ours, epoch, first, think) {
  const child = start('taskset', ['-c', '1', join(place.bin, 'swarm'), 'run', '--keys', place.keys, '--issuer', place.issuer, '--epoch', String(epoch),
    '--port', String(ours.port), '--certificate', place.certificate, '--first', String(first), '--users', String(refreshers), '--think', think,
    '--access-lifetime', '3600', '--read', '0', '--list', '0', '--refresh', '1'], { log: join(place.root, `log/refreshes-${first}.log`) });
  const count = async () => metricIn((await fetchText(ours.internal, '/metrics')).text, 'pam_auth_refreshes_total');
  await new Promise((done) => setTimeout(done, 1_500));
  const [cpu, begun] = [cpuOf(ours.pid), await count()];
  await new Promise((done) => setTimeout(done, 3_000));
  const [used, done] = [cpuOf(ours.pid) - cpu, await count() - begun];
  await stop(child);
  return { cpu_us: used / done * 1e6, rate: done / 3, server_cores: used / 3 };
}

async function measureRefresh(place, { ours, nginx }) {
  const epoch = Date.now();
  const updated = 400;  // their sessions are for the part UPDATE
  const taken = Math.min(rounds, 5);
  const users = updated + 2 * taken * refreshers;
  const seeding = start(join(place.bin, 'swarm'), ['seed', '--keys', place.keys, '--issuer', place.issuer, '--epoch', String(epoch), '--users', String(users),
    '--database', `host=${place.sockets} port=5432 user=postgres dbname=pam`], { log: join(place.root, 'log/seed.log') });
  if ((await seeding.ended).code !== 0) throw new Error('seeding failed');
  const health = place.requests('health', [get('/health')]);
  const seen = [];
  for (let i = 0; i < taken; ++i) {
    const request = await place.hammer(nginx, nginx.tls, health);
    const sign = await place.parts('sign', ['--seconds', 1, '--keys', place.keys]);
    const update = await place.parts('update', ['--seconds', 2, '--keys', place.keys, '--epoch', epoch, '--users', updated, '--host', place.sockets, '--port', place.poolerPort]);
    const first = updated + 2 * i * refreshers;
    const slow = await refreshes(place, ours, epoch, first, thinking.slow);
    const fast = await refreshes(place, ours, epoch, first + refreshers, thinking.fast);
    seen.push({ fast, slow, nginx_us: request.cpu_us, sign_us: sign.cpu_seconds / sign.count * 1e6, update_us: update.cpu_seconds / update.count * 1e6 });
  }
  const sum = median(seen.map((one) => one.nginx_us + one.sign_us + one.update_us));
  const whole = (pace) => median(seen.map((one) => one[pace].cpu_us));
  // The parts are measured on a full core each, and so is their sum's counterpart.
  record('P2 HTTPS refresh against its parts', 'us CPU', whole('fast'), sum, 2, true, seen);
  record('P2 the same at 2,000 a second', 'us CPU', whole('slow'), sum, 2, true, seen);
  const at = ({ cpu_us: us, rate, server_cores: cores }) => `${us.toFixed(0)} us at ${rate.toFixed(0)}/s (${(cores * 100).toFixed(0)} % of its core)`;
  for (const { fast, slow, nginx_us: a, sign_us: b, update_us: c } of seen) {
    say(`refresh ${at(fast)}, ${at(slow)}; nginx ${a.toFixed(0)} + ES256 ${b.toFixed(0)} + UPDATE ${c.toFixed(0)} us`);
  }
}

async function measureLogin(place, { users }) {
  const threads = 2;
  const server = await place.serve({ PAM_HASH__THREADS: String(threads), PAM_HASH__MAX_WAIT: '10s' });
  const { execFileSync } = await import('node:child_process');
  execFileSync('taskset', ['-acp', '0,1', String(server.pid)]);
  const logins = place.requests('login', users.map(({ email, password }) => post('/auth/v1/token?grant_type=password', JSON.stringify({ email, password }))));
  const seen = [];
  for (let i = 0; i < Math.min(rounds, 3); ++i) {
    const bare = await place.parts('hash', ['--seconds', 3, '--threads', threads]);
    const whole = await place.hammer(server, server.port, logins, { seconds: 4, connections: 16, inTurn: true });
    seen.push({ bare_per_second: bare.count / bare.seconds, logins_per_second: whole.rate, p99_us: whole.p99_us });
  }
  const [logins_, bare] = [median(seen.map((one) => one.logins_per_second)), median(seen.map((one) => one.bare_per_second))];
  const ratio = logins_ / bare;
  results.push({ name: 'P3 password logins', unit: 'a second', ours: logins_, reference: bare, ratio, target: 0.95, met: ratio >= 0.95, samples: seen });
  process.stdout.write(`${'P3 password logins, no other load'.padEnd(44)}${'a second'.padEnd(16)}${logins_.toFixed(2).padStart(10)}${bare.toFixed(2).padStart(10)}${ratio.toFixed(2).padStart(8)}${'>= 0.95'.padStart(10)}  ${ratio >= 0.95 ? 'met' : 'MISSED'}\n`);
  await stop(server);
}

// So many that nobody's attempts, at the rate of the hash pool, look like guessing (docs/security.md).
async function signUp(place, server, count) {
  const users = [];
  for (let i = 0; i < count; ++i) {
    const [email, password] = [`bench${i}@example.org`, 'Bench-passphrase-7'];
    const answer = await place.call(server.port, 'POST', '/auth/v1/signup', { email, password });
    if (answer.status !== 200) throw new Error(`sign-up: ${answer.status} ${JSON.stringify(answer.json)}`);
    users.push({ email, password, access_token: answer.json.access_token });
  }
  return users;
}

async function main() {
  const place = new Place(join(root, 'build/release/bin'));
  try {
    await place.open();
    if (wanted.has('start')) await measureStart(place);
    const ours = await place.serve({ PAM_LIMITS__HANDSHAKES_PER_SECOND: '1000000' });
    const plain = await place.serve({ PAM_LISTEN__TLS: 'false' });
    const nginx = await place.nginx();
    const with_ = { ours, plain, nginx, users: await signUp(place, ours, 320) };
    if (wanted.has('requests')) await measureRequests(place, with_);
    if (wanted.has('handshakes')) await measureHandshakes(place, with_);
    if (wanted.has('memory')) await measureMemory(place, with_);
    if (wanted.has('refresh')) await measureRefresh(place, with_);
    if (wanted.has('login')) await measureLogin(place, with_);
  } finally {
    await place.close();
  }
  if (options.json) writeFileSync(options.json, `${JSON.stringify(results, null, 1)}\n`);
}

main().catch((failure) => {
  process.stderr.write(`bench net: ${failure.stack}\n`);
  process.exit(1);
});
