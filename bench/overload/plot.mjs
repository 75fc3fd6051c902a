// build/bench/overload.html: goodput and p99 over what was offered, one file without scripts.

const escape = (text) => String(text).replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]);

/** Points [[x, y]] of each series over the factor of the capacity; a dashed line for the target. */
function plot(title, series, bound) {
  const [width, height, left, bottom, top] = [560, 240, 60, 30, 30];
  const peak = 1.1 * Math.max(bound.y, ...series.flatMap(({ points }) => points.map(([, y]) => y)));
  const x = (value) => left + (value / 4.2) * (width - left - 10);
  const y = (value) => height - bottom - (value / peak) * (height - bottom - top);
  const lines = series.map(({ points, colour, name }, i) => `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${points.map(([a, b]) => `${x(a)},${y(b)}`).join(' ')}"/>${
    points.map(([a, b]) => `<circle cx="${x(a)}" cy="${y(b)}" r="3" fill="${colour}"/>`).join('')}<text x="${left + 130 * i + 10}" y="28" fill="${colour}">${escape(name)}</text>`);
  const ticks = [0.5, 1, 2, 4].map((at) => `<text x="${x(at)}" y="${height - 10}" text-anchor="middle">${at} x</text>`);
  const grid = [0, 0.5, 1].map((part) => `<line x1="${left}" x2="${width - 10}" y1="${y(peak * part)}" y2="${y(peak * part)}" stroke="#ddd"/><text x="${left - 5}" y="${y(peak * part) + 4}" text-anchor="end">${(peak * part).toPrecision(3)}</text>`);
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(title)}"><text x="${left}" y="14" font-weight="bold">${escape(title)}</text>${grid.join('')}${ticks.join('')}<line x1="${left}" x2="${width - 10}" y1="${y(bound.y)}" y2="${y(bound.y)}" stroke="#999" stroke-dasharray="4 4"/><text x="${width - 12}" y="${y(bound.y) - 4}" text-anchor="end" fill="#777">${escape(bound.name)}</text>${lines.join('')}</svg>`;
}

export function renderOverload(measured, results) {
  const parts = measured.map(({ title, capacity, quick, steps }) => {
    const over = (of) => steps.map((step) => [step.factor, of(step)]);
    return `<h2>${escape(title)}: capacity ${capacity.toFixed(0)} a second</h2>${
      plot('Answers a second', [{ name: 'right', colour: '#1b6ca8', points: over(({ goodput }) => goodput) }, { name: 'refused', colour: '#c8553d', points: over(({ refused, seconds }) => refused.count / seconds) }], { y: 0.9 * capacity, name: '0.9 x capacity' })}${
      plot('Latency of right answers, ms', [{ name: 'p50', colour: '#3d8361', points: over(({ right }) => right.p50_ms) }, { name: 'p99', colour: '#c8553d', points: over(({ right }) => right.p99_ms) }], { y: 2 * quick, name: '2 x p99 at capacity' })}`;
  });
  const verdict = results.map(({ name, ours, target, met }) => `<li style="color:${met ? '#3d8361' : '#c00'}">${escape(name)}: ${ours.toFixed(3)} (target ${target})`);
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>PAM Auth: overload</title><style>body{font:14px/1.5 system-ui,sans-serif;max-width:640px;margin:2em auto;color:#222}svg{width:100%;font:11px system-ui,sans-serif}</style>
<h1>PAM Auth: more than it can do</h1><ul>${verdict.join('')}</ul>${parts.join('')}</html>\n`;
}
