// `./dev bench counts`: what a request over a kept TLS connection asks of the allocator and the kernel: allocations and
// bytes (the product linked with a counting malloc), system calls (strace), and whether anything stays after a million.
// Counts, not times: they differ little from machine to machine, but batching makes them depend on the concurrency.
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

import { fetchText, metricIn, run, sleep, start, stop, until } from '../../load-tests/runner/index.mjs';
import { Place } from '../net/place.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const { values: options } = parseArgs({ options: { json: { type: 'string' }, only: { type: 'string', default: 'health,user,refresh,sign-out' },
  window: { type: 'string', default: '1000' }, many: { type: 'string', default: '1000000' } } });
const wanted = options.only.split(',');
const window = Number(options.window); // milliseconds a figure is counted for
const most = 20 * window; // sign-outs within it and what goes before and after
const say = (text) => process.stderr.write(`    ${text}\n`);
const results = [];

function record(name, unit, ours, target = null) {
  const met = target === null ? null : ours <= target;
  results.push({ name, unit, ours, reference: null, ratio: null, target, met, less_is_better: true });
  process.stdout.write(`${name.padEnd(60)}${unit.padEnd(22)}${ours.toFixed(2).padStart(10)}${
    target === null ? '' : `${`<= ${target}`.padStart(10)}  ${met ? 'met' : 'MISSED'}`}\n`);
}

/** Each makes requests of its kind over `connections` while `during` runs, and a little longer. */
const kinds = {
  health: { title: '/health', users: 0, drive: hammer },
  user: { title: 'GET /user', users: 256, line: 'GET /auth/v1/user', drive: hammer },
  refresh: { title: 'refresh', drive: offer },
  'sign-out': { title: 'sign-out', line: 'POST /auth/v1/logout?scope=local', isOnce: true, status: 204, drive: hammer },
};

async function hammer(place, server, kind, { connections }, during) {
  const users = kind.isOnce ? most + 64 * connections : kind.users; // while some connect, others send already
  const file = users === 0 ? place.requests('health', ['GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n'])
    : place.requests(kind.title.replace(/\W/g, ''), [await run(join(place.bin, 'net_parts'), ['requests', kind.line, '--keys', place.keys,
      '--epoch', String(place.epoch), '--first', String(kind.isOnce ? place.take(users) : 0), '--users', String(users)])]);
  const client = place.client('hammer', server.port, file, { more: ['--connections', connections, '--status', kind.status ?? 200,
    ...(kind.isOnce ? ['--in-turn', '--answers', connections === 1 ? most / 4 : most] : kind.limit ? ['--answers', kind.limit] : ['--seconds', 2 + window / 1000])] });
  await client.said();
  await during();
  const result = await client.said();
  await client.ended;
  if (result.failed > 0) throw new Error(`${kind.title}: ${result.failed} requests failed`);
}

/** Refreshes need the token of the answer before: net_offer, at a rate that keeps its connections busy. */
async function offer(place, server, kind, { connections }, during) {
  const rate = connections === 1 ? 400 : 2000;
  const child = start('taskset', ['-c', '1', join(place.bin, 'net_offer'), '--port', String(server.port), '--certificate', place.certificate,
    '--keys', place.keys, '--issuer', place.issuer, '--epoch', String(place.epoch), '--first', String(place.take(connections)),
    '--connections', String(connections), '--refresh-share', '1']);
  const lines = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(JSON.parse(line)));
  await until(() => lines.length > 0, 'net_offer', 30);
  child.stdin.write(`${rate} ${2 + window / 1000}\n`);
  await during();
  await until(() => lines.length > 1, 'net_offer', 120);
  await stop(child);
  const { failed, refused, unanswered } = lines[1];
  if (failed + refused.count + unanswered > 0) throw new Error(`refresh: ${failed} failed, ${refused.count} refused, ${unanswered} unanswered`);
}

const served = async (server) => metricIn((await fetchText(server.internal, '/metrics')).text, 'pam_http_requests_total');

/** The requests the server answers for a while. What asking it costs lies outside of `begin` and `end`. */
async function countFor(server, milliseconds, begin, end) {
  await begin();
  const first = await served(server);
  await sleep(milliseconds);
  const last = await served(server);
  await end();
  return last - first;
}

function counters(place) {
  const bytes = readFileSync(place.counterFile);
  const [made, size, , given] = [0, 8, 16, 24].map((at) => Number(bytes.readBigUInt64LE(at)));
  return { made, size, held: size - given };
}

async function measureAllocations(place, server, kind) {
  let [first, last, done] = [null, null, 0];
  await kind.drive(place, server, kind, { connections: 64 }, async () => {
    await sleep(300); // what is made once is made
    done = await countFor(server, window, () => { first = counters(place); }, () => { last = counters(place); });
  });
  record(`${kind.title}: allocations`, 'a request', (last.made - first.made) / done);
  record(`${kind.title}: bytes allocated`, 'a request', (last.size - first.size) / done);
}

/** What a million reads leave behind on the heap, after a tenth of them to warm up. */
async function measureGrowth(place, server, kind) {
  const many = Number(options.many);
  let [first, last] = [null, null];
  const make = (count) => kind.drive(place, server, { ...kind, limit: count }, { connections: 64 }, () => {});
  await make(many / 10);
  first = counters(place);
  await make(many);
  last = counters(place);
  record(`${kind.title}: growth of the heap after ${many}`, 'KiB', (last.held - first.held) / 1024, 64);
}

async function measureCalls(place, server, kind, connections) {
  const file = join(place.root, `strace-${kind.title.replace(/\W/g, '')}-${connections}`);
  let done = 0;
  await kind.drive(place, server, kind, { connections }, async () => {
    let tracer = null;
    done = await countFor(server, window, async () => {
      tracer = start('strace', ['-qq', '-f', '-c', '-o', file, '-p', String(server.pid)]);
      await until(() => /^TracerPid:\s+[1-9]/m.test(readFileSync(`/proc/${server.pid}/status`, 'latin1')), 'strace', 10);
    }, () => stop(tracer, 'SIGINT'));
  });
  const calls = [...readFileSync(file, 'utf8').matchAll(/^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$/gm)]
    .map(([, count, name]) => [name, Number(count) / done]).filter(([name]) => name !== 'total').sort(([, a], [, b]) => b - a);
  record(`${kind.title}: system calls, ${connections} connection${connections === 1 ? '' : 's'}`, 'a request', calls.reduce((sum, [, each]) => sum + each, 0));
  say(calls.filter(([, each]) => each >= 0.01).map(([name, each]) => `${name} ${each.toFixed(2)}`).join(', '));
}

async function main() {
  const place = new Place(join(root, 'build/release/bin'));
  let taken = 256;
  place.take = (users) => (taken += users) - users;
  try {
    await place.open();
    place.epoch = Date.now();
    place.counterFile = join(place.root, 'counters');
    const seeding = start(join(place.bin, 'swarm'), ['seed', '--keys', place.keys, '--issuer', place.issuer, '--epoch', String(place.epoch),
      '--users', String(4 * most + 16384), '--database', `host=${place.sockets} port=5432 user=postgres dbname=pam`], { log: join(place.root, 'log/seed.log') });
    if ((await seeding.ended).code !== 0) throw new Error('seeding failed');
    const product = place.binary;
    const server = await place.serve({});
    place.binary = `${product}-counted`;
    const counted = await place.serve({ MALLOC_COUNTER_FILE: place.counterFile });
    for (const name of wanted) {
      const kind = kinds[name];
      if (!kind) throw new Error(`--only knows ${Object.keys(kinds).join(', ')}, not ${name}`);
      await measureAllocations(place, counted, kind);
      for (const connections of [1, 64]) await measureCalls(place, server, kind, connections);
      if (name === 'user') await measureGrowth(place, counted, kind);
    }
  } finally {
    await place.close();
  }
  if (options.json) writeFileSync(options.json, `${JSON.stringify(results, null, 1)}\n`);
}

main().catch((failure) => {
  process.stderr.write(`bench counts: ${failure.stack}\n`);
  process.exit(1);
});
