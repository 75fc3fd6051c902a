// compare.mjs REPORT: the figures of a bench beside those of the last run on this machine, which it then replaces.
// A figure that is worse by more than a seventh is named; two runs of the same code differ by less on a quiet machine.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { basename, dirname, join } from 'node:path';

const tolerated = 1.15;
const [file] = process.argv.slice(2);
const kept = join(dirname(file), 'last', basename(file));
const machine = `${cpus().length} x ${cpus()[0].model}`;

function lastRun() {
  try {
    const last = JSON.parse(readFileSync(kept, 'utf8'));
    return last.machine === machine ? last.figures : {};
  } catch (failure) {
    if (failure.code === 'ENOENT') return {};
    throw failure;
  }
}

const last = lastRun();
const figures = { ...last }; // a run of one part leaves the others' figures
let compared = 0;
const worse = [];
for (const { name, ours, unit, less_is_better: isLow = !/\/s$|second$/.test(unit ?? '') } of JSON.parse(readFileSync(file, 'utf8'))) {
  if (typeof ours !== 'number') continue;
  figures[name] = ours;
  const before = last[name];
  if (!(before > 0) || !(ours > 0)) continue;
  ++compared;
  const ratio = isLow ? ours / before : before / ours;
  if (ratio > tolerated) worse.push(`    ${name}: ${ours.toPrecision(4)} ${unit}, last time ${before.toPrecision(4)}: ${ratio.toFixed(2)} times worse`);
}
mkdirSync(dirname(kept), { recursive: true });
writeFileSync(kept, JSON.stringify({ machine, figures }, null, 1));
if (compared > 0) process.stderr.write(`==> ${compared} figures beside the last run here: ${worse.length === 0 ? 'none is worse' : 'WORSE'}\n${worse.join('\n')}${worse.length ? '\n' : ''}`);
