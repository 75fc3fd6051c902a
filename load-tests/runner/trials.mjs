// Life under load: what happens to an installation while people use it. Each trial is a phase of the run.
import { readFileSync, renameSync, copyFileSync } from 'node:fs';
import { X509Certificate } from 'node:crypto';
import tls from 'node:tls';

import { sleep, until } from './index.mjs';

/** One request on a new connection, without resumption: {status, fingerprint}; rejects when it fails. */
function freshRequest(stage) {
  return new Promise((done, fail) => {
    let text = '';
    const socket = tls.connect({ host: '127.0.0.1', port: stage.port, servername: 'localhost', ca: readFileSync(stage.anchors), timeout: 15_000 }, () => {
      const { fingerprint256 } = socket.getPeerCertificate();
      socket.on('data', (part) => (text += part));
      socket.on('end', () => done({ status: Number(text.slice(9, 12)), fingerprint: fingerprint256 }));
      socket.write('GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    });
    socket.on('timeout', () => socket.destroy(new Error('no answer')));
    socket.on('error', fail);
  });
}

const shareOf = (count, profile) => Math.ceil(count / profile.generators);
/** Sampled once a second: whatever is waited for must be seen by a sample that began after it happened. */
const nextLines = () => sleep(2_200);

/** Clients lose their connections at once and come back; one server process dies with its own. */
async function herd({ stage, crowd, profile }) {
  crowd.tell('calm');
  await sleep(2_000); // whoever is signing in or out gets its answer
  crowd.tell(`herd ${shareOf(profile.herd, profile)} ${profile.herd_seconds}`);
  if (profile.crash) await stage.crash(0);
  const began = Date.now();
  await sleep(profile.herd_seconds * 1000);
  await nextLines();
  await until(() => crowd.sum('away') === 0 && crowd.sum('connected') >= profile.users * 0.5, 'the herd to be back', profile.herd_limit ?? 120);
  // Some of the time they are back, for the others to be measured beside.
  await sleep(Math.max(0, began + 2_000 * profile.herd_seconds - Date.now()));
  return {};
}

/**
 * Every server process is replaced in turn, by its own hand-over. The old ones drain while the next are replaced.
 * It is over when those are connected again who lost their connections by it: they come back when they act next.
 */
async function rolling({ stage, crowd, profile }) {
  const connected = crowd.sum('connected');
  crowd.tell('rolling');
  const old = [];
  for (let i = 0; i < profile.servers; ++i) {
    old.push(await stage.replace(i));
    await sleep((profile.rolling_pause ?? 1) * 1000);
  }
  const results = await Promise.all(old.map(async (child) => {
    await until(() => child.result, 'the old process to be done', profile.rolling_limit ?? 120);
    return child.result;
  }));
  await nextLines();
  await until(() => crowd.sum('connected') >= 0.99 * connected, 'the users of the old processes to be back', profile.rolling_limit ?? 120);
  return { replaced: results.length, ended_badly: results.filter(({ code }) => code !== 0).length };
}

/** Another certificate is put in place and every process told, while new connections come. */
async function reload({ stage, crowd, profile, sampler, say }) {
  crowd.tell('reload');
  const seen = { before: 0, during: 0, after: 0, failed: 0, old_after: 0 };
  const fresh = new X509Certificate(readFileSync(stage.nextCertificate)).fingerprint256;
  let stretch = 'before';
  const fail = (why) => {
    ++seen.failed;
    const { fullest, paused, shed, timed_out: timedOut } = sampler.lines.at(-1);
    say(`a new connection ${stretch} the reload failed: ${why}; the servers so far: ${fullest} connections in the fullest, ${paused} pauses, ${shed} shed, ${timedOut} handshakes timed out`);
  };
  const ask = async () => {
    const during = stretch;
    try {
      const { status, fingerprint } = await freshRequest(stage);
      ++seen[during];
      if (status !== 200) fail(`status ${status}`);
      if (during === 'after' && fingerprint !== fresh) ++seen.old_after;
    } catch (failure) {
      fail(failure.message);
    }
  };
  let isOver = false;
  const asking = (async () => {
    while (!isOver) await Promise.all([ask(), ask(), sleep(50)]);
  })();
  try {
    await sleep(500);
    stretch = 'during';
    for (const [from, to] of [[stage.nextCertificate, stage.certificate], [stage.nextKey, stage.key]]) {
      copyFileSync(from, `${to}.new`);
      renameSync(`${to}.new`, to);
    }
    await stage.reload();
    stretch = 'after';
    await sleep((profile.reload_seconds ?? 2) * 1000);
  } finally {
    isOver = true;
    await asking;
  }
  return seen;
}

/** A share of the population signs in at once, some of them from devices they have used before. */
async function login({ crowd, profile }) {
  const count = shareOf(profile.login, profile);
  crowd.tell(`leave ${count} ${profile.leave_seconds}`);
  const wanted = crowd.members.reduce((sum, { users }) => sum + Math.min(users, count), 0);
  await until(() => crowd.sum('outside') >= wanted, 'everybody to have signed out', profile.leave_seconds + 60);
  crowd.tell(`login ${profile.login_known}`);
  await nextLines();
  await until(() => crowd.sum('outside') === 0, 'everybody to be signed in', profile.login_limit ?? 900);
  return { signed_out: wanted };
}

const trials = { herd, rolling, reload, login };

/** Runs what the profile switches on, in order; {name: what the runner saw of it}. */
export async function runTrials(context, say) {
  const seen = {};
  for (const [name, trial] of Object.entries(trials)) {
    if (!context.profile[name]) continue;
    context.sampler.phase = name;
    say(`phase ${name}`);
    seen[name] = await trial({ ...context, say });
    if (context.crowd.lost > 0) throw new Error(`a generator ended early, in phase ${name}`);
  }
  return seen;
}
