// Starts and ends the real server: the binary, its PostgreSQL and its PgBouncer.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';

export const binary = resolve(
  process.env.PAM_AUTH_BIN ?? join(dirname(fileURLToPath(import.meta.url)), '../../../build/release/bin/pam-auth'));

const children = new Set();
const reports = []; // of a sanitizer, by processes whose end no test may ask about
process.on('exit', () => {
  if (reports.length === 0) return;
  process.stderr.write(reports.join('\n'));
  process.exitCode = 1;
});
const endAll = () => {
  for (const child of children) child.kill('SIGKILL');
};
process.on('exit', endAll);
// A server that a failed test left behind would keep the test process waiting.
if (process.env.NODE_TEST_CONTEXT) after(endAll);

/** Resolves with the first truthy value of `condition`; rejects with `what` after `seconds`. */
export async function until(condition, what, seconds = 30) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`gave up waiting for ${what}`);
    await new Promise((next) => setTimeout(next, 20));
  }
}

/** A folder of this test; other users may pass through it, since PostgreSQL never runs as root. */
export function temporaryFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'pam-test-'));
  chmodSync(folder, 0o711);
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/**
 * Runs the binary and collects what it says. `exited` resolves with {code, signal}.
 * @param options.program  another one than the server, built beside it
 * @param options.through  a command that ends in running the one it is given: [program, argument...]
 * @param options.descriptors  passed on from 3 up
 */
export function run(args, env = {}, { program = binary, through = [], descriptors = [] } = {}) {
  const inherited = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('PAM_')));
  const [first, ...rest] = [...through, program, ...args];
  const child = spawn(first, rest, { env: { ...inherited, ...env },
    stdio: ['ignore', 'pipe', 'pipe', ...descriptors] });
  children.add(child);
  const output = { all: '', err: '' };
  child.stdout.on('data', (bytes) => (output.all += bytes));
  child.stderr.on('data', (bytes) => {
    output.all += bytes;
    output.err += bytes;
  });
  // 'close' comes when both pipes are drained: nothing the server said is missed.
  const exited = new Promise((done, fail) => {
    child.on('error', fail);
    child.on('close', (code, signal) => {
      children.delete(child);
      if (/: (Address|Leak|Thread)Sanitizer: |: runtime error: /.test(output.err)) reports.push(output.err);
      done({ code, signal });
    });
  });
  return { child, output, exited };
}

/**
 * Starts `pam-auth dev` on a free port and resolves when it is ready.
 * @param options.data  folder that survives the server; without it nothing is kept
 * @param options.env   configuration as PAM_SECTION__KEY variables
 */
export async function startServer({ data, env = {}, port = 0 } = {}) {
  const folder = temporaryFolder();
  const readyFile = join(folder, `ready-${randomBytes(4).toString('hex')}.json`);
  const keep = data ? ['--data', data] : ['--ephemeral'];
  const process_ = run(['dev', '--port', String(port), '--ready-file', readyFile, ...keep], env);

  let ended = null;
  process_.exited.then((how) => (ended = how));
  await until(() => ended || existsSync(readyFile), 'the server to be ready', 60);
  if (!existsSync(readyFile)) {
    throw new Error(`the server ended before it was ready: ${JSON.stringify(ended)}\n${process_.output.all}`);
  }
  const ready = JSON.parse(readFileSync(readyFile, 'utf8'));

  return {
    ...ready,
    // By address: older Node tries only the first address of a name, which may be ::1.
    host: '127.0.0.1',
    ca: readFileSync(ready.certificate),
    output: process_.output,
    exited: process_.exited,
    /** Ends it as an operator would; resolves with {code, signal}. */
    async stop() {
      if (!ended) process_.child.kill('SIGTERM');
      return process_.exited;
    },
    terminate() {
      process_.child.kill('SIGTERM');
    },
    /** The machine lost power, as far as the server can tell. */
    async crash() {
      process.kill(ready.pids.server, 'SIGKILL');
      return process_.exited;
    },
  };
}

/** Settings that make a stop quick: no load balancer has to notice it. */
export const quickStop = { PAM_SERVER__DRAIN_DELAY: '0s', PAM_SERVER__DRAIN_TIMEOUT: '10s' };
