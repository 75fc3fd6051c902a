// What the parts of the runner share.
import http from 'node:http';

export * from './processes.mjs';

/** GET on a loopback port; {status: 0} when nobody answers. */
export function fetchText(port, path) {
  return new Promise((done) => {
    const request = http.get({ host: '127.0.0.1', port, path, agent: false, timeout: 5_000 }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (part) => (text += part));
      answer.on('end', () => done({ status: answer.statusCode, text }));
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => done({ status: 0, text: '' }));
  });
}

/** Sum of a metric over its labels. */
export function metricIn(text, name) {
  let sum = 0;
  for (const line of text.split('\n')) {
    if (line.startsWith(name) && (line[name.length] === ' ' || line[name.length] === '{')) sum += Number(line.slice(line.lastIndexOf(' ') + 1));
  }
  return sum;
}

/** The greatest value below which the share q of a histogram's values lies: buckets [[upper, count], ...]. */
export function quantile(buckets, q) {
  const total = buckets.reduce((sum, [, count]) => sum + count, 0);
  const rank = Math.max(1, Math.ceil(q * total));
  let seen = 0;
  for (const [upper, count] of buckets) {
    seen += count;
    if (seen >= rank) return upper;
  }
  return 0;
}

/** Adds up histograms given as sparse bucket lists. */
export function mergeBuckets(lists) {
  const sums = new Map();
  for (const list of lists) for (const [upper, count] of list) sums.set(upper, (sums.get(upper) ?? 0) + count);
  return [...sums].sort(([a], [b]) => a - b);
}
