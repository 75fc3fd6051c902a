// report.html: one file without scripts or links; plots are SVG drawn here.

const colours = ['#1b6ca8', '#c8553d', '#3d8361', '#8e6c8a', '#b8860b'];
const escape = (text) => String(text).replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]);
const short = (value) => (Math.abs(value) >= 1e6 ? `${(value / 1e6).toFixed(1)}M` : Math.abs(value) >= 1e3 ? `${(value / 1e3).toFixed(1)}k`
  : Number.isInteger(value) ? String(value) : value.toFixed(Math.abs(value) < 1 ? 3 : 1));

/** One plot: series [{name, points: [[x, y], ...]}] over seconds, phases as vertical lines. */
function plot(title, unit, series, marks) {
  const [width, height, left, bottom, top] = [760, 220, 60, 30, 24];
  const all = series.flatMap(({ points }) => points);
  if (all.length === 0) return '';
  const right = Math.max(...all.map(([x]) => x), 1);
  const peak = Math.max(...all.map(([, y]) => y), 1e-9);
  const x = (value) => left + (value / right) * (width - left - 10);
  const y = (value) => height - bottom - (value / peak) * (height - bottom - top);
  const grid = [0, 0.25, 0.5, 0.75, 1].map((part) =>
    `<line x1="${left}" x2="${width - 10}" y1="${y(peak * part)}" y2="${y(peak * part)}" stroke="#ddd"/>` +
    `<text x="${left - 6}" y="${y(peak * part) + 4}" text-anchor="end">${short(peak * part)}</text>`);
  const times = [0, 0.25, 0.5, 0.75, 1].map((part) => `<text x="${x(right * part)}" y="${height - 10}" text-anchor="middle">${Math.round(right * part)} s</text>`);
  const phases = marks.map(({ t, name }) => `<line x1="${x(t)}" x2="${x(t)}" y1="${top}" y2="${height - bottom}" stroke="#999" stroke-dasharray="3 3"/>` +
    `<text x="${x(t) + 3}" y="${top + 10}" fill="#777">${escape(name)}</text>`);
  const lines = series.map(({ points }, i) => `<polyline fill="none" stroke="${colours[i % colours.length]}" stroke-width="1.5" points="${
    points.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(' ')}"/>`);
  const legend = series.map(({ name }, i) => `<tspan fill="${colours[i % colours.length]}" dx="10">${escape(name)}</tspan>`).join('');
  return `<figure><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(title)}"><text x="${left}" y="14"><tspan font-weight="bold">${
    escape(title)}${unit ? `, ${escape(unit)}` : ''}</tspan>${legend}</text>${grid.join('')}${times.join('')}${phases.join('')}${lines.join('')}</svg></figure>`;
}

const rates = (lines, name) => lines.slice(1).map((line, i) => [line.t, Math.max(0, line[name] - lines[i][name]) / Math.max(0.001, line.t - lines[i].t)]);
const values = (lines, name, scale = 1) => lines.filter((line) => line[name] !== undefined).map((line) => [line.t, line[name] * scale]);

export function renderReport(result) {
  const { timeline: lines, verdict } = result;
  const marks = [];
  for (const line of lines) if (line.phase !== marks.at(-1)?.name) marks.push({ t: line.t, name: line.phase });
  const plots = [
    plot('Connected users', '', [{ name: 'as the servers count', points: values(lines, 'connected_server') }, { name: 'as the clients count', points: values(lines, 'connected_client') }], marks),
    plot('Rate', 'a second', [{ name: 'right answers', points: rates(lines, 'answered') }, { name: 'handshakes', points: rates(lines, 'handshakes') }, { name: 'failed', points: rates(lines, 'failed') }], marks),
    plot('Latency since the phase began', 'ms, worst generator', [{ name: 'p50', points: values(lines, 'p50_ms') }, { name: 'p99', points: values(lines, 'p99_ms') }], marks),
    plot('CPU', 'cores', [{ name: 'servers', points: rates(lines, 'server_cpu') }, { name: 'PostgreSQL', points: rates(lines, 'postgres_cpu') }, { name: 'PgBouncer', points: rates(lines, 'pgbouncer_cpu') }, { name: 'generators', points: rates(lines, 'generator_cpu') }], marks),
    plot('Resident memory', 'MiB', [{ name: 'servers', points: values(lines, 'server_rss', 1 / 1048576) }, { name: 'generators', points: values(lines, 'generator_rss', 1 / 1048576) }], marks),
    plot('Database', 'a second', [{ name: 'statements', points: rates(lines, 'statements') }, { name: 'batches (one Sync each)', points: rates(lines, 'batches') }], marks),
    plot('Database connections', '', [{ name: 'of pam_app', points: values(lines, 'database_connections') }], marks),
  ];
  const rows = Object.entries(result.phases).flatMap(([phase, of]) => Object.entries(of.ops).filter(([, op]) => op.count + op.failed > 0)
    .map(([name, op]) => `<tr><td>${phase}<td>${name}<td>${op.count}<td>${op.failed}${[op.p50_ms, op.p95_ms, op.p99_ms, op.p999_ms, op.max_ms].map((value) => `<td>${value.toFixed(2)}`).join('')}`));
  const machine = Object.entries(result.machine).map(([name, value]) => `<tr><td>${escape(name)}<td>${escape(value)}`);
  const trials = Object.entries(result.trials).flatMap(([phase, seen]) => Object.entries({ seconds: result.phases[phase].seconds.toFixed(1), ...result.phases[phase].counts, ...seen })
    .map(([what, value]) => `<tr><td>${phase}<td>${escape(what.replaceAll('_', ' ').replace(/ us$/, ', s'))}<td>${what.endsWith('_us') ? (value / 1e6).toFixed(3) : value}`));
  const failures = Object.entries(result.failures).map(([why, count]) => `<tr><td>${escape(why)}<td>${count}`);
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>PAM Auth load: ${escape(result.profile)}</title><style>
body{font:14px/1.5 system-ui,sans-serif;max-width:800px;margin:2em auto;padding:0 1em;color:#222}svg{width:100%;font:11px system-ui,sans-serif}
table{border-collapse:collapse;margin:1em 0}td,th{padding:2px 10px;border-bottom:1px solid #ddd;text-align:left}.met{color:#3d8361}.missed{color:#c00;font-weight:bold}figure{margin:1em 0}</style>
<h1>PAM Auth under load: ${escape(result.profile)}</h1><p>${escape(result.began)}, commit ${escape(result.commit)}. Latencies run from the intended start of an action to its checked answer.</p>
<h2>Verdict</h2><ul>${verdict.map(({ met, text }) => `<li class="${met ? 'met' : 'missed'}">${escape(text)}`).join('')}</ul>
${plots.join('')}<h2>Operations, ms</h2><table><tr><th>phase<th>operation<th>right<th>failed<th>p50<th>p95<th>p99<th>p99.9<th>max${rows.join('')}</table>
${trials.length ? `<h2>Life under load</h2><table><tr><th>phase<th>what<th>value${trials.join('')}</table>` : ''}${failures.length ? `<h2>Failures</h2><table>${failures.join('')}</table>` : ''}<h2>Machine</h2><table>${machine.join('')}</table></html>\n`;
}
