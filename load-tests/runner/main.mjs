// `./dev load PROFILE`: sets everything up, plays the users, judges, reports, leaves nothing behind.
import { cpus, release, totalmem } from 'node:os';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { Crowd } from './crowd.mjs';
import { fetchText, metricIn, residentOf, run, sleep, start, until } from './index.mjs';
import { compareLedgers } from './ledger.mjs';
import { renderReport } from './report.mjs';
import { Sampler } from './sampler.mjs';
import { Stage } from './stage.mjs';
import { parseToml } from './toml.mjs';
import { runTrials } from './trials.mjs';
import { judge, judgeRatio } from './verdict.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const say = (text) => process.stderr.write(`==> ${text}\n`);

function chosen() {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: {
    tap: { type: 'boolean' }, bin: { type: 'string', default: join(root, 'build/release/bin') },
    out: { type: 'string', default: join(root, 'build/load') }, pgbouncer: { type: 'string', default: process.env.PAM_PGBOUNCER ?? '/usr/sbin/pgbouncer' },
    set: { type: 'string', multiple: true, default: [] } } });
  const profiles = parseToml(readFileSync(join(root, 'load-tests/targets.toml'), 'utf8'));
  const profile = profiles[positionals[0]];
  if (!profile) throw new Error(`no profile '${positionals[0] ?? ''}'; targets.toml has: ${Object.keys(profiles).join(', ')}`);
  for (const pair of values.set) {
    const [name, value] = pair.split('=');
    if (value === undefined) throw new Error(`--set needs NAME=VALUE, not ${pair}`);
    profile[name] = /^[\d.]+$/.test(value) ? Number(value) : value === 'true' ? true : value === 'false' ? false : value;
  }
  return { name: positionals[0], profile, ...values };
}

async function machineOf(stage) {
  return { cores: cpus().length, cpu: cpus()[0].model, 'memory, GiB': Math.round(totalmem() / 2 ** 30), kernel: release(),
    PostgreSQL: await stage.sql('SHOW server_version', 'postgres'), PgBouncer: stage.poolerVersion,
    'synchronous_commit': await stage.sql('SHOW synchronous_commit', 'postgres') };
}

/** A checkpoint after a third of the steady phase, a base backup after half of it. */
async function disturb(stage, seconds) {
  await sleep(seconds * 333);
  await stage.sql('CHECKPOINT', 'postgres');
  await sleep(seconds * 167);
  const backup = start('pg_basebackup', ['-h', stage.sockets, '-p', '5432', '-U', 'postgres', '-D', '-', '-Ft', '-X', 'none', '--no-manifest', '-c', 'fast'], { log: '/dev/null' });
  const { code } = await backup.ended;
  if (code !== 0) throw new Error('pg_basebackup failed');
}

async function play(stage, crowd, sampler, profile) {
  const isWhole = () => sampler.lines.at(-1)?.connected_server >= profile.users && crowd.sum('connected') >= profile.users;
  await until(() => {
    if (crowd.lost > 0) throw new Error('a generator ended early');
    return isWhole();
  }, `all ${profile.users} users to be connected`, profile.ramp_limit ?? 900);
  say(`${profile.users} users are connected after ${sampler.lines.at(-1).t.toFixed(0)} s`);
  sampler.phase = 'steady';
  crowd.tell('steady');
  await Promise.all([sleep(profile.steady * 1000), profile.disturb ? disturb(stage, profile.steady) : null]);
  const last = await sampler.sample();
  if (profile.storm > 0) {
    sampler.phase = 'storm';
    crowd.tell(`storm ${profile.storm}`);
    await sleep((profile.storm + 2) * 1000);
  }
  const trials = await runTrials({ stage, crowd, sampler, profile }, say);
  sampler.phase = 'down';
  crowd.tell('down');
  return { last, trials };
}

async function perform(stage, options) {
  const { profile } = options;
  const epoch = Date.now();
  const swarm = join(options.bin, 'swarm');
  say(`PostgreSQL, PgBouncer ${stage.poolerVersion}; seeding ${profile.users} users`);
  const seeding = start(swarm, ['seed', '--keys', stage.keys, '--issuer', stage.issuer, '--epoch', String(epoch), '--users', String(profile.users),
    '--database', `host=${stage.sockets} port=5432 user=postgres dbname=pam`]);
  if ((await seeding.ended).code !== 0) throw new Error('seeding failed');
  await stage.sql('CHECKPOINT', 'postgres');
  await stage.startServers();
  const idle = stage.servers.reduce((sum, { pid }) => sum + residentOf(pid), 0);
  say(`${profile.servers} servers share port ${stage.port}; ${profile.generators} generators begin`);
  const machine = await machineOf(stage);
  const began = new Date().toISOString();
  const crowd = new Crowd(stage, profile, { swarm, epoch });
  const sampler = new Sampler(stage, crowd);
  let count = 0;
  sampler.onLine = (line) => {
    if (count++ % 10 === 0) say(`${line.t.toFixed(0)} s ${line.phase}: ${line.connected_server} connected, ${line.answered} right, ${line.failed} failed${line.failed > 0 ? ` (${crowd.members.map(({ last }) => last?.last_failure).find(Boolean)})` : ''}, p99 ${line.p99_ms} ms`);
  };
  try {
    const { last, trials } = await play(stage, crowd, sampler, profile);
    const totals = await crowd.finish();
    await sampler.close();
    const steady = sampler.lines.filter(({ phase }) => phase === 'steady');
    const table = await compareLedgers(stage, crowd, totals.doubtful);
    const metrics = await Promise.all(stage.servers.map(({ internal }) => fetchText(internal, '/metrics')));
    const cpu = (name) => (last[name] - steady[0][name]) / Math.max(0.001, last.t - steady[0].t);
    return { profile: options.name, settings: profile, began, machine, ...totals, trials, table, timeline: sampler.lines,
      connected: Math.min(...steady.map(({ connected_server }) => connected_server)),
      database_connections: Math.max(...sampler.lines.map(({ database_connections }) => database_connections ?? 0)),
      server_kib_per_user: (last.server_rss - idle) / 1024 / profile.users, idle_server_rss: idle,
      steady_rate: (last.answered - steady[0].answered) / Math.max(0.001, last.t - steady[0].t),
      steady_cores: { servers: cpu('server_cpu'), postgres: cpu('postgres_cpu'), pgbouncer: cpu('pgbouncer_cpu'), generators: cpu('generator_cpu') },
      refreshes: metrics.reduce((sum, { text }) => sum + metricIn(text, 'pam_auth_refreshes_total'), 0) };
  } finally {
    sampler.ended = true;
    await crowd.abort();
    await sampler.running.catch(() => {});
  }
}

function print(verdict, isTap) {
  for (const [i, { met, text }] of verdict.entries()) {
    process.stdout.write(isTap ? `${met ? 'ok' : 'not ok'} ${i + 1} - ${text}\n` : `${met ? 'met   ' : 'MISSED'} ${text}\n`);
  }
  if (isTap) process.stdout.write(`1..${verdict.length}\n`);
}

/** One run on a stage of its own, judged and reported. */
async function runOnce(options) {
  const stage = new Stage(options.profile, { binary: join(options.bin, 'pam-auth'), folder: options.out, pgbouncer: options.pgbouncer });
  let result;
  try {
    await stage.open();
    result = await perform(stage, options);
  } finally {
    await stage.close();
  }
  result.commit = (await run('git', ['-C', root, 'rev-parse', '--short', 'HEAD']).catch(() => 'unknown')).trim();
  result.verdict = judge(options.profile, result);
  const folder = join(options.out, options.name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'report.json'), JSON.stringify(result, null, 1));
  writeFileSync(join(folder, 'report.html'), renderReport(result));
  for (const [why, count] of Object.entries(result.failures)) say(`failed ${count} times: ${why}`);
  const { servers, postgres, pgbouncer, generators } = result.steady_cores;
  say(`steady: ${result.steady_rate.toFixed(0)} answers/s; cores: servers ${servers.toFixed(2)}, PostgreSQL ${postgres.toFixed(2)}, PgBouncer ${pgbouncer.toFixed(2)}, generators ${generators.toFixed(2)}`);
  say(`report: ${join(folder, 'report.html')}`);
  return result;
}

async function main() {
  const interrupted = () => process.exit(130); // children are killed on exit
  process.once('SIGINT', interrupted);
  process.once('SIGTERM', interrupted);
  const options = chosen();
  const { profile } = options;
  const verdict = [];
  let base = null;
  if (profile.base_users) {
    // The same requests a second from fewer users, each of whom acts so much more often.
    const think = (profile.think * profile.base_users) / profile.users;
    base = await runOnce({ ...options, name: `${options.name}-base`, profile: { ...profile, users: profile.base_users, think } });
    verdict.push(...base.verdict.map((line) => ({ ...line, text: `${profile.base_users} users: ${line.text}` })));
  }
  const result = await runOnce(options);
  verdict.push(...result.verdict);
  if (base) verdict.push(...judgeRatio(profile, base, result));
  print(verdict, options.tap);
  return verdict.every(({ met }) => met) ? 0 : 1;
}

main().then((code) => process.exit(code), (failure) => {
  process.stderr.write(`load: ${failure.stack}\n`);
  process.exit(2);
});
