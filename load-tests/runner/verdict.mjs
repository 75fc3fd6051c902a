// Compares what happened with targets.toml: one line each.

/** [{name, value, limit, met, text}] */
export function judge(profile, result) {
  const { limits } = profile;
  const lines = [];
  const check = (name, value, limit, met, unit = '') =>
    lines.push({ name, value, limit, met, text: `${name}: ${format(value)}${unit} (${met ? 'within' : 'MISSED'} ${format(limit)}${unit})` });
  const least = (name, value, limit, unit) => check(name, value, limit, value >= limit, unit);
  const most = (name, value, limit, unit) => check(name, value, limit, value <= limit, unit);

  check('users connected at once, as the servers count them', result.connected, profile.users, result.connected >= profile.users);
  const steady = result.phases.steady;
  for (const [key, limit] of Object.entries(limits)) {
    const latency = /^(\w+)_(p50|p95|p99)_ms$/.exec(key);
    if (trialLimit(key, limit, profile, result, { most, least })) continue;
    if (latency) most(`${latency[1]} ${latency[2]}`, steady.ops[latency[1]][`${latency[2]}_ms`], limit, ' ms');
    else if (key === 'failed') most('failed actions, all phases', result.failed, limit);
    else if (key === 'table_differences') most('sessions whose row differs from what the client was told', result.table.differences, limit);
    else if (key === 'p99_ratio') continue; // of two runs: judgeRatio()
    else if (key === 'late_percent') most('actions the generator began late', 100 * steady.late / Math.max(1, steady.begun), limit, ' %');
    else if (key === 'database_connections') most('database connections', result.database_connections, limit);
    else if (key === 'server_kib_per_user') most('server memory a user', result.server_kib_per_user, limit, ' KiB');
    else throw new Error(`targets.toml: no such limit: ${key}`);
  }
  for (const [name, of] of Object.entries(steady.ops)) {
    if (['read', 'list', 'refresh'].includes(name)) check(`${name}: answered right in the steady phase`, of.count, 1, of.count >= 1);
  }
  for (const name of trialNames.filter((each) => profile[each])) judgeTrial(name, profile, result, { most, least });
  return lines;
}

/** p99 of many users beside that of few who ask as much (targets.toml: base_users). */
export function judgeRatio(profile, base, result) {
  const of = (run, name) => run.phases.steady.ops[name].p99_ms;
  const lines = ['read', 'list', 'refresh', 'others'].map((name) => {
    const [few, many] = [of(base, name), of(result, name)];
    const met = few > 0 && many / few <= profile.limits.p99_ratio;
    const what = name === 'others' ? 'all three together' : name;
    return { name: `p99 ratio of ${what}`, value: many / few, limit: profile.limits.p99_ratio, met,
      text: `${what}: p99 of ${profile.users} users ${format(many)} ms, of ${profile.base_users} at the same rate ${format(few)} ms: ratio ${format(many / few)} (${met ? 'within' : 'MISSED'} ${profile.limits.p99_ratio})` };
  });
  const rates = [base.steady_rate, result.steady_rate];
  const isSame = Math.abs(rates[0] / rates[1] - 1) <= 0.05;
  lines.push({ name: 'rates', value: rates[0] / rates[1], limit: 1, met: isSame,
    text: `answers a second: ${rates.map((rate) => rate.toFixed(0)).join(' and ')} (${isSame ? 'within' : 'MISSED'} 5 % of each other)` });
  return lines;
}

const trialNames = ['herd', 'rolling', 'reload', 'login'];

/** Limits that one phase has; true when the key is one of them. They hold where the phase was run. */
function trialLimit(key, limit, profile, { phases }, { most, least }) {
  const phase = trialNames.find((name) => key.startsWith(`${name}_`));
  if (!phase) return false;
  if (!profile[phase]) return true;
  const { ops, counts } = phases[phase];
  const what = key.slice(phase.length + 1);
  if (what === 'others_p99_ms') most(`${phase}: p99 of the others`, ops.others.p99_ms, limit, ' ms');
  else if (what === 'back_seconds') most('herd: until all are back', counts.all_back_us / 1e6, limit, ' s');
  else if (what === 'resumed_percent') least('herd: came back with TLS resumption', (100 * counts.back_resumed) / counts.back, limit, ' %');
  else if (what === 'in_seconds') most('login: until all are signed in', counts.all_in_us / 1e6, limit, ' s');
  else throw new Error(`targets.toml: no such limit: ${key}`);
  return true;
}

/** What must be so wherever the phase was run. */
function judgeTrial(name, profile, { phases, trials }, { most, least }) {
  const { ops, counts } = phases[name];
  const seen = trials[name];
  most(`${name}: failed actions`, Object.values(ops).reduce((sum, { failed }) => sum + failed, 0), 0);
  most(`${name}: users signed out by it`, counts.signed_out ?? 0, 0);
  const takePart = { herd: profile.herd, login: profile.login }[name] ?? 0;
  if (takePart < profile.users) least(`${name}: reads, lists and refreshes of the others`, ops.others.count, 1);
  if (name === 'herd') {
    least('herd: clients that lost their connection', counts.dropped ?? 0, Math.min(profile.herd, profile.users));
    most('herd: of these, not back', counts.dropped - counts.back, 0);
  } else if (name === 'rolling') {
    least('rolling: server processes replaced', seen.replaced, profile.servers);
    most('rolling: old processes that did not end by themselves with 0', seen.ended_badly, 0);
  } else if (name === 'reload') {
    most('reload: new connections that failed', seen.failed, 0);
    least('reload: new connections after it', seen.after, 10);
    most('reload: of these, with the old certificate', seen.old_after, 0);
  } else {
    least('login: signed in', ops.known.count + ops.strangers.count, seen.signed_out);
    if (profile.login_known > 0 && profile.login_known < 1) {
      most('login: median until in of known devices, beside that of strangers', ops.known.p50_ms, ops.strangers.p50_ms, ' ms');
    }
  }
}

const format = (value) => (Number.isInteger(value) ? String(value) : value.toFixed(2));
