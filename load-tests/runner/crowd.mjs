// The generator processes of a run, commanded together.
import { createInterface } from 'node:readline';

import { join } from 'node:path';

import { mergeBuckets, quantile, start, stop } from './index.mjs';

export class Crowd {
  constructor(stage, profile, { swarm, epoch }) {
    this.members = [];
    const share = Math.ceil(profile.users / profile.generators);
    for (let i = 0; i < profile.generators; ++i) {
      const users = Math.min(share, profile.users - i * share);
      if (users <= 0) break;
      const ledger = join(stage.root, `ledger-${i}.csv`);
      const child = start(swarm, ['run', '--keys', stage.keys, '--issuer', stage.issuer, '--epoch', String(epoch),
        '--port', String(stage.port), '--certificate', stage.anchors, '--source', `127.0.1.${i + 1}`,
        '--first', String(i * share), '--users', String(users), '--think', String(profile.think), '--ramp-factor', String(profile.ramp_factor ?? 1),
        '--access-lifetime', String(profile.access_lifetime), '--ledger', ledger,
        '--handshakes', String(profile.handshakes ?? 16), '--sign-ins', String(profile.sign_ins_per_second / profile.generators),
        ...(profile.resume ? ['--resume'] : [])]);
      const member = { child, ledger, users, last: null, final: null };
      createInterface({ input: child.stdout }).on('line', (line) => {
        const said = JSON.parse(line);
        if (said.final) member.final = said;
        else member.last = said;
      });
      this.members.push(member);
    }
  }

  tell(command) {
    for (const { child } of this.members) child.stdin.write(`${command}\n`);
  }

  /** A sum over the latest lines of all members. */
  sum(name) {
    return this.members.reduce((sum, { last }) => sum + (last?.[name] ?? 0), 0);
  }

  /** The number of members that have ended by themselves: none should while a phase runs. */
  get lost() {
    return this.members.filter(({ child, final }) => child.result && !final).length;
  }

  /** Waits for the members' last words; {phases, failures, lost_idle, answered, failed, doubtful}, added up. */
  async finish() {
    await Promise.all(this.members.map(({ child }) => child.ended));
    const finals = this.members.map(({ final }) => final);
    if (finals.some((each) => !each)) throw new Error('a generator ended without its last line');
    const add = (of) => finals.reduce((sum, each) => sum + of(each), 0);
    const phases = {};
    for (const name of Object.keys(finals[0].phases)) {
      const each = finals.map((final) => final.phases[name]);
      const total = (of) => each.reduce((sum, one) => sum + of(one), 0);
      const ops = {};
      for (const op of Object.keys(each[0].ops)) {
        const buckets = mergeBuckets(each.map((one) => one.ops[op].buckets));
        ops[op] = { count: total((one) => one.ops[op].count), failed: total((one) => one.ops[op].failed),
          p50_ms: quantile(buckets, 0.5) / 1000, p95_ms: quantile(buckets, 0.95) / 1000, p99_ms: quantile(buckets, 0.99) / 1000,
          p999_ms: quantile(buckets, 0.999) / 1000, max_ms: Math.max(...each.map((one) => one.ops[op].max_us)) / 1000, buckets };
      }
      const counts = {};
      for (const { counts: some } of each) {
        for (const [what, count] of Object.entries(some)) {
          counts[what] = what.endsWith('_us') ? Math.max(counts[what] ?? 0, count) : (counts[what] ?? 0) + count;
        }
      }
      phases[name] = { counts, seconds: Math.max(...each.map((one) => one.wall_us)) / 1e6, cpu_seconds: total((one) => one.cpu_us) / 1e6,
        begun: total((one) => one.begun), late: total((one) => one.late),
        mean_lateness_ms: total((one) => one.lateness_us) / 1000 / Math.max(1, total((one) => one.begun)),
        worst_lateness_ms: Math.max(...each.map((one) => one.worst_us)) / 1000, ops };
    }
    const failures = {};
    for (const { failures: some } of finals) for (const [why, count] of Object.entries(some)) failures[why] = (failures[why] ?? 0) + count;
    return { phases, failures, lost_idle: add((each) => each.lost_idle), answered: add((each) => each.answered), failed: add((each) => each.failed),
      doubtful: add((each) => each.doubtful) };
  }

  async abort() {
    await Promise.all(this.members.map(({ child }) => stop(child, 'SIGKILL')));
  }
}
