// One line of the timeline a second: what servers, generators, PostgreSQL and PgBouncer say of themselves.
import { readFileSync } from 'node:fs';

import { cpuOf, cpuOfFamily, fetchText, metricIn, residentOf } from './index.mjs';

const available = () => Number(/^MemAvailable:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'latin1'))[1]) * 1024;

export class Sampler {
  constructor(stage, crowd) {
    this.stage = stage;
    this.crowd = crowd;
    this.lines = [];
    this.phase = 'ramp';
    this.began = Date.now();
    this.running = this.loop();
  }

  async sample() {
    const texts = await Promise.all(this.stage.servers.map(({ internal }) => fetchText(internal, '/metrics')));
    const sum = (name) => texts.reduce((total, { text }) => total + metricIn(text, name), 0);
    const line = {
      t: (Date.now() - this.began) / 1000, phase: this.phase,
      connected_server: sum('pam_net_connections_open'), connected_client: this.crowd.sum('connected'),
      requests: sum('pam_net_requests_total'), handshakes: sum('pam_net_handshakes_total'), fullest: Math.max(...texts.map(({ text }) => metricIn(text, 'pam_net_connections_open'))),
      paused: sum('pam_net_accept_paused_total'), shed: sum('pam_net_connections_shed_total'), timed_out: sum('pam_net_timed_out_handshake_total'),
      answered: this.crowd.sum('answered'), failed: this.crowd.sum('failed'),
      refused: sum('pam_admission_refused_total'), statements: sum('pam_db_statements_total'), batches: sum('pam_db_batches_total'),
      p50_ms: Math.max(...this.crowd.members.map(({ last }) => last?.p50_us ?? 0)) / 1000,
      p99_ms: Math.max(...this.crowd.members.map(({ last }) => last?.p99_us ?? 0)) / 1000,
      server_cpu: this.stage.servers.reduce((total, { pid }) => total + cpuOf(pid), 0),
      generator_cpu: this.crowd.sum('cpu_us') / 1e6,
      postgres_cpu: cpuOfFamily(this.stage.postgres.pid), pgbouncer_cpu: cpuOf(this.stage.pgbouncer.pid),
      server_rss: this.stage.servers.reduce((total, { pid }) => total + residentOf(pid), 0),
      generator_rss: this.crowd.sum('rss'), available: available(),
    };
    if (this.lines.length % 5 === 0) {
      line.database_connections = Number(await this.stage.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'pam_app'", 'postgres'));
    }
    this.lines.push(line);
    return line;
  }

  async loop() {
    while (!this.ended) {
      const next = Date.now() + 1000;
      await this.sample();
      this.onLine?.(this.lines.at(-1));
      await new Promise((done) => (this.timer = setTimeout(done, Math.max(0, next - Date.now()))));
    }
  }

  async close() {
    this.ended = true;
    await this.running;
  }
}
