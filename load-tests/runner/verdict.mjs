// Compares what happened with targets.toml: one line each.

/** [{name, value, limit, met, text}] */
export function judge(profile, result) {
  const { limits } = profile;
  const lines = [];
  const check = (name, value, limit, met, unit = '') =>
    lines.push({ name, value, limit, met, text: `${name}: ${format(value)}${unit} (${met ? 'within' : 'MISSED'} ${format(limit)}${unit})` });
  const most = (name, value, limit, unit) => check(name, value, limit, value <= limit, unit);

  check('users connected at once, as the servers count them', result.connected, profile.users, result.connected >= profile.users);
  const steady = result.phases.steady;
  for (const [key, limit] of Object.entries(limits)) {
    const latency = /^(\w+)_(p50|p95|p99)_ms$/.exec(key);
    if (latency) most(`${latency[1]} ${latency[2]}`, steady.ops[latency[1]][`${latency[2]}_ms`], limit, ' ms');
    else if (key === 'failed') most('failed actions, all phases', result.failed, limit);
    else if (key === 'table_differences') most('sessions whose row differs from what the client was told', result.table.differences, limit);
    else if (key === 'late_percent') most('actions the generator began late', 100 * steady.late / Math.max(1, steady.begun), limit, ' %');
    else if (key === 'database_connections') most('database connections', result.database_connections, limit);
    else if (key === 'server_kib_per_user') most('server memory a user', result.server_kib_per_user, limit, ' KiB');
    else throw new Error(`targets.toml: no such limit: ${key}`);
  }
  for (const [name, of] of Object.entries(steady.ops)) {
    if (['read', 'list', 'refresh'].includes(name)) check(`${name}: answered right in the steady phase`, of.count, 1, of.count >= 1);
  }
  return lines;
}

const format = (value) => (Number.isInteger(value) ? String(value) : value.toFixed(2));
