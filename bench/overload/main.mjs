// `./dev bench overload`: what becomes of users when more is asked than the machine can do. targets.md P10.
// Server, PostgreSQL and PgBouncer share one core, the generator has the other and offers in an open loop.
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { cpuOf, cpuOfFamily, run, start, stop, until } from '../../load-tests/runner/index.mjs';
import { Place, median } from '../net/place.mjs';
import { renderOverload } from './plot.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const { values: options } = parseArgs({ options: { json: { type: 'string' }, only: { type: 'string', default: 'requests,sign-ins,refusals' },
  seconds: { type: 'string', default: '6' }, ramps: { type: 'string', default: '3' }, server: { type: 'string', multiple: true, default: [] } } });
const wanted = new Set(options.only.split(','));
const factors = [0.5, 1, 2, 4];
const kinds = {
  requests: { title: 'reads and refreshes, 4 : 1', connections: 6000, more: ['--refresh-share', '0.2'], guess: 4000, step: 2, seconds: Number(options.seconds) },
  'sign-ins': { title: 'password sign-ins', connections: 1500, more: ['--sign-in'], guess: 40, step: 6, seconds: 2 * Number(options.seconds) },
};
const say = (text) => process.stderr.write(`    ${text}\n`);
const results = [];

function record(name, unit, ours, target, isLow, samples) {
  const met = isLow ? ours <= target : ours >= target;
  results.push({ name, unit, ours, reference: null, ratio: ours, target, met, less_is_better: isLow, samples });
  process.stdout.write(`${name.padEnd(66)}${unit.padEnd(10)}${ours.toFixed(2).padStart(10)}${`${isLow ? '<=' : '>='} ${target}`.padStart(10)}  ${met ? 'met' : 'MISSED'}\n`);
}

/** A generator of one kind whose users stay connected from step to step. */
class Offer {
  constructor(place, server, kind, first) {
    this.place = place;
    this.server = server;
    this.lines = [];
    this.child = start('taskset', ['-c', '1', join(place.bin, 'net_offer'), '--port', String(server.port), '--certificate', place.certificate,
      '--keys', place.keys, '--issuer', place.issuer, '--epoch', String(place.epoch), '--first', String(first), '--connections', String(kind.connections), ...kind.more]);
    createInterface({ input: this.child.stdout }).on('line', (line) => this.lines.push(JSON.parse(line)));
  }

  next(seconds = 60) {
    return until(() => {
      if (this.lines.length > 0) return this.lines.shift();
      if (this.child.result) throw new Error('net_offer ended early');
      return null;
    }, 'net_offer', seconds);
  }

  used() {
    return { server: cpuOf(this.server.pid), postgres: cpuOfFamily(this.place.postgres.pid), pgbouncer: cpuOf(this.place.pgbouncer.pid) };
  }

  async step(rate, seconds) {
    const before = this.used();
    this.child.stdin.write(`${rate} ${seconds}\n`);
    const line = await this.next(seconds + 60);
    const after = this.used();
    line.goodput = line.in_time / seconds;
    line.cores = Object.fromEntries(Object.keys(after).map((name) => [name, (after[name] - before[name]) / seconds]));
    line.generator_cores = line.cpu_seconds / seconds;
    return line;
  }

  async close() {
    this.child.stdin.end();
    await this.child.ended;
  }
}

/** The knee: the greatest rate at which 99 % of what was offered came back right before the step ended. */
async function findKnee(offer, kind) {
  let [low, high, best] = [0, 0, null];
  let rate = kind.guess;
  for (let i = 0; i < 9 && (high === 0 || (high - low) / high > 0.06); ++i) {
    const seen = await offer.step(rate, kind.step);
    const holds = seen.in_time >= 0.99 * seen.offered - 2;
    if (holds) [low, best] = [rate, seen];
    else high = rate;
    rate = high === 0 ? rate * 1.4 : low === 0 ? rate / 1.6 : (low + high) / 2;
  }
  if (!best) throw new Error('no rate was kept up with');
  return best;
}

async function measure(place, server, name) {
  const kind = kinds[name];
  const offer = new Offer(place, server, kind, place.taken);
  place.taken += kind.connections;
  await offer.next(120);
  const knees = [];
  for (let i = 0; i < Number(options.ramps); ++i) {
    knees.push(await findKnee(offer, kind));
    say(`${name}: knee ${knees.at(-1).rate.toFixed(0)}/s, p99 ${knees.at(-1).right.p99_ms} ms`);
    kind.guess = knees.at(-1).rate;
  }
  const capacity = median(knees.map(({ rate }) => rate));
  const knee = knees.find(({ rate }) => rate === capacity) ?? knees.at(-1);
  const quick = median(knees.map(({ right }) => right.p99_ms)); // the step at 1 x may be just above what can be done
  const steps = [];
  for (const factor of factors) {
    await offer.step(capacity * factor, kind.seconds / 3); // until queues stand as they will
    const seen = { factor, ...await offer.step(capacity * factor, kind.seconds) };
    steps.push(seen);
    say(`${factor} x: offered ${seen.rate.toFixed(0)}/s, right ${seen.goodput.toFixed(0)}/s p50 ${seen.right.p50_ms} p99 ${seen.right.p99_ms} max ${seen.right.max_ms} ms, refused ${seen.refused.count} p99 ${seen.refused.p99_ms} ms, refreshes among the right ${(100 * seen.refreshed / seen.right.count).toFixed(1)} %, waited for a connection ${seen.waited}, cores ${
      Object.entries(seen.cores).map(([who, cores]) => `${who} ${cores.toFixed(2)}`).join(' ')} generator ${seen.generator_cores.toFixed(2)}`);
  }
  await offer.close();
  const at = (factor) => steps.find((each) => each.factor === factor);
  const lost = steps.reduce((sum, { unanswered, failed, no_hint: bare }) => sum + unanswered + failed + bare, 0);
  record(`P10 ${name}: no answer, a wrong one, or a 503 without Retry-After`, 'requests', lost, 0, true, steps);
  for (const factor of [2, 4]) {
    record(`P10 ${name}: p99 of successes at ${factor} x, of the p99 at capacity`, 'ratio', at(factor).right.p99_ms / quick, 2, true, [at(factor)]);
    record(`P10 ${name}: goodput at ${factor} x, of the capacity`, 'ratio', at(factor).goodput / capacity, 0.9, false, [at(factor)]);
  }
  // What one costs where nothing is refused and batches are as full as they get.
  const cost = (of) => 1e6 * of / knee.goodput;
  return { name, title: kind.title, capacity, quick, steps, cpu_us: cost(Object.values(knee.cores).reduce((sum, each) => sum + each, 0)), server_us: cost(knee.cores.server) };
}

/** CPU of a refusal, which is the server's alone: one with room for one request of the class, whose place is nearly always taken. */
async function measureRefusals(place, measured) {
  for (const { name, cpu_us: whole, server_us: own } of measured) {
    const server = await place.serve({ PAM_ADMISSION__READ: '1', PAM_ADMISSION__WRITE: '1', PAM_ADMISSION__HASH: '1', PAM_LIMITS__HANDSHAKES_PER_SECOND: '1000000' });
    const kind = { ...kinds[name], connections: name === 'requests' ? kinds[name].connections : 500 };
    const offer = new Offer(place, server, kind, place.taken);
    place.taken += kind.connections;
    await offer.next(60);
    const seen = await offer.step(name === 'requests' ? 45_000 : 4_000, 4);
    await offer.close();
    await stop(server);
    const each = (4e6 * seen.cores.server - seen.right.count * own) / seen.refused.count;
    const share = each / whole;
    say(`${name}: ${seen.refused.count} refused, ${each.toFixed(1)} us for each, ${seen.right.count} right, ${whole.toFixed(0)} us for one that is served`);
    record(`P10 ${name}: CPU of a refusal, of what it refuses`, 'share', share, 0.05, true, [seen]);
  }
}

async function main() {
  const place = new Place(join(root, 'build/release/bin'));
  try {
    await place.open();
    for (const { pid } of [place.postgres, place.pgbouncer]) await run('taskset', ['-acp', '0', String(pid)]);
    place.epoch = Date.now();
    place.taken = 0;
    const seeding = start(join(place.bin, 'swarm'), ['seed', '--keys', place.keys, '--issuer', place.issuer, '--epoch', String(place.epoch), '--users', '15000',
      '--database', `host=${place.sockets} port=5432 user=postgres dbname=pam`], { log: join(place.root, 'log/seed.log') });
    if ((await seeding.ended).code !== 0) throw new Error('seeding failed');
    const server = await place.serve({ PAM_LIMITS__HANDSHAKES_PER_SECOND: '1000000', ...Object.fromEntries(options.server.map((pair) => pair.split('='))) });
    const measured = [];
    for (const name of Object.keys(kinds)) if (wanted.has(name)) measured.push(await measure(place, server, name));
    await stop(server);
    if (wanted.has('refusals')) await measureRefusals(place, measured);
    if (options.json) writeFileSync(options.json.replace(/\.json$/, '.html'), renderOverload(measured, results));
  } finally {
    await place.close();
  }
  if (options.json) writeFileSync(options.json, `${JSON.stringify(results, null, 1)}\n`);
}

main().catch((failure) => {
  process.stderr.write(`bench overload: ${failure.stack}\n`);
  process.exit(1);
});
