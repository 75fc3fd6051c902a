// Does the time of a refused sign-in tell whether the address exists?
//
//   node tests/timing/sign_in.mjs [SAMPLES]        default 10,000 of each population, 20 minutes;
//                                                 3,500 take seven
//
// Populations are sampled in random order over one kept connection. Prints, for each pair, both medians, the
// Mann-Whitney U test (AUC: the chance that a random sample of the first is slower than one of the second;
// 0.5 tells nothing) and the Kolmogorov-Smirnov distance with its 1 % critical value. Run it on a quiet
// machine: it is a measurement, not a test. Hashing is cheap here on purpose, so that what is around it shows.
import { randomInt } from 'node:crypto';
import { cpus } from 'node:os';

import { newAccount, newEmail, signIn } from '../blackbox/support/client.mjs';
import { install } from '../blackbox/support/fleet.mjs';

const samples = Number(process.argv[2] ?? 10_000);
const perAccount = 4; // below the failures that cost waiting
const bcrypt = '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW';
const wrong = 'certainly-not-the-password';

const median = (sorted) => sorted[Math.floor(sorted.length / 2)];

/** Mann-Whitney U by ranks, ties by their mean rank; z by the normal approximation. */
function mannWhitney(first, second) {
  const all = [...first.map((value) => [value, 0]), ...second.map((value) => [value, 1])].sort((a, b) => a[0] - b[0]);
  let ranks = 0;
  for (let i = 0; i < all.length;) {
    let end = i;
    while (end < all.length && all[end][0] === all[i][0]) ++end;
    for (let k = i; k < end; ++k) if (all[k][1] === 0) ranks += (i + end + 1) / 2;
    i = end;
  }
  const [n, m] = [first.length, second.length];
  const u = ranks - n * (n + 1) / 2;
  return { u, auc: u / (n * m), z: (u - n * m / 2) / Math.sqrt(n * m * (n + m + 1) / 12) };
}

/** The largest distance of the two empirical distributions. */
function kolmogorovSmirnov(first, second) {
  const [a, b] = [[...first].sort((x, y) => x - y), [...second].sort((x, y) => x - y)];
  let [i, j, distance] = [0, 0, 0];
  while (i < a.length && j < b.length) {
    const value = Math.min(a[i], b[j]);
    while (i < a.length && a[i] <= value) ++i;
    while (j < b.length && b[j] <= value) ++j;
    distance = Math.max(distance, Math.abs(i / a.length - j / b.length));
  }
  return { distance, critical: 1.628 * Math.sqrt((a.length + b.length) / (a.length * b.length)) };
}

function compare(name, first, second) {
  const [a, b] = [first, second].map((times) => [...times].sort((x, y) => x - y));
  const { u, auc, z } = mannWhitney(first, second);
  const { distance, critical } = kolmogorovSmirnov(first, second);
  console.log(`${name}: medians ${median(a).toFixed(3)} and ${median(b).toFixed(3)} ms; Mann-Whitney U ${u.toFixed(0)}, `
    + `AUC ${auc.toFixed(4)}, z ${z.toFixed(2)}; Kolmogorov-Smirnov D ${distance.toFixed(4)} (1 %: ${critical.toFixed(4)})`);
}

/**
 * Times of refused sign-ins, the populations mixed at random. A 503 (the machine stood still for a while) has no time to
 * compare: it is left out and told, and more than one in a thousand of them end the measurement.
 */
async function measure(server, populations) {
  const plan = Object.entries(populations).flatMap(([name, next]) => Array.from({ length: samples }, (_, i) => ({ name, email: next(i) })));
  for (let i = plan.length - 1; i > 0; --i) {
    const other = randomInt(i + 1);
    [plan[i], plan[other]] = [plan[other], plan[i]];
  }
  const times = Object.fromEntries(Object.keys(populations).map((name) => [name, []]));
  let left = 0;
  for (const [i, { name, email }] of plan.entries()) {
    if (i % 5000 === 0) console.error(`${i} of ${plan.length} sign-ins`);
    const start = performance.now();
    const answer = await signIn(server, email, wrong);
    const took = performance.now() - start;
    if (answer.status === 400) times[name].push(took);
    else if (answer.status !== 503 || ++left > plan.length / 1000) throw new Error(answer.text);
  }
  if (left > 0) console.log(`${left} of ${plan.length} answered with 503 and left out`);
  return times;
}

async function accountsOf(server, count) {
  const made = [];
  while (made.length < count) made.push(...await Promise.all(Array.from({ length: 8 }, () => newAccount(server))));
  return made.map(({ email }) => email);
}

const installation = await install();
try {
  const server = await installation.serve();
  const count = Math.ceil(samples / perAccount);
  console.log(`${samples} samples of each, ${cpus()[0].model}, Argon2id 1 MiB 1 pass, bcrypt cost 5`);
  const known = await accountsOf(server, count);
  const empty = await accountsOf(server, count);
  await installation.sql(`UPDATE accounts SET hashed_password = NULL WHERE email = ANY ('{${empty.join(',')}}')`);
  const first = await measure(server, { known: (i) => known[i % count], unknown: () => newEmail(), empty: (i) => empty[i % count] });
  compare('known and unknown', first.known, first.unknown);
  compare('without a password and unknown', first.empty, first.unknown);

  // Half of the accounts were imported; a stranger does not know which.
  const mixed = await accountsOf(server, count);
  const imported = mixed.filter((_, i) => i % 2 === 0);
  await installation.sql(`UPDATE accounts SET hashed_password = '${bcrypt}' WHERE email = ANY ('{${imported.join(',')}}')`);
  const fresh = await installation.serve();
  for (const email of mixed.slice(0, 1500)) await signIn(fresh, email, wrong); // what a server sees in its first minutes
  await installation.sql(`UPDATE accounts SET failed_count = 0, failed_since = NULL WHERE email = ANY ('{${mixed.join(',')}}')`);
  const second = await measure(fresh, { known: (i) => mixed[i % count], unknown: () => newEmail() });
  compare('known, half of them bcrypt, and unknown', second.known, second.unknown);
} finally {
  await installation.end();
}
