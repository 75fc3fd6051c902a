// Child processes of a run: started here, ended here, whatever happens in between.
import { execFile, spawn } from 'node:child_process';
import { openSync, readdirSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const children = new Set();

export const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** Resolves with the first truthy value of `condition`; rejects with `what` after `seconds`. */
export async function until(condition, what, seconds) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`gave up waiting for ${what} after ${seconds} s`);
    await sleep(50);
  }
}

/** Runs a program to its end; resolves with its standard output, rejects with what it said. */
export async function run(program, args, options = {}) {
  try {
    return (await execute(program, args, { maxBuffer: 64 << 20, ...options })).stdout;
  } catch (failure) {
    throw new Error(`${program} ${args[0] ?? ''} failed: ${failure.stderr || failure.message}`);
  }
}

/** Starts a program whose standard output goes to `log`, or to a pipe when that is null. */
export function start(program, args, { log = null, env = {}, cwd } = {}) {
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('PAM_')));
  const out = log === null ? 'pipe' : openSync(log, 'a');
  const child = spawn(program, args, { env: { ...inherited, ...env }, cwd, stdio: ['pipe', out, log === null ? 'inherit' : out] });
  children.add(child);
  child.ended = new Promise((done, fail) => {
    child.on('error', fail);
    child.on('close', (code, signal) => {
      children.delete(child);
      child.result = { code, signal };
      done(child.result);
    });
  });
  child.ended.catch(() => {});
  return child;
}

/** Asks a child to end, forces it after `seconds`. */
export async function stop(child, signal = 'SIGTERM', seconds = 20) {
  if (child.result) return child.result;
  child.kill(signal);
  const force = setTimeout(() => child.kill('SIGKILL'), seconds * 1000);
  const result = await child.ended;
  clearTimeout(force);
  return result;
}

process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

const ticks = 100; // of a second in /proc/PID/stat (sysconf(_SC_CLK_TCK) on Linux)

function statOf(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { parent: Number(fields[1]), own: (Number(fields[11]) + Number(fields[12])) / ticks,
      children: (Number(fields[13]) + Number(fields[14])) / ticks };
  } catch {
    return null; // it has ended between listing and reading
  }
}

/** CPU seconds of one process. */
export const cpuOf = (pid) => statOf(pid)?.own ?? 0;

/** CPU seconds of one process to the nanosecond, as of each thread's last tick; its threads that have ended are left out. */
export function cpuOfThreads(pid) {
  let nanoseconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]);
  }
  return nanoseconds / 1e9;
}

/** CPU seconds of a process, its living children and those it has buried. */
export function cpuOfFamily(pid) {
  const head = statOf(pid);
  if (!head) return 0;
  let sum = head.own + head.children;
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const each = statOf(name);
    if (each?.parent === pid) sum += each.own;
  }
  return sum;
}

/** Resident bytes of one process. */
export function residentOf(pid) {
  try {
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))[1]) * 1024;
  } catch {
    return 0;
  }
}
