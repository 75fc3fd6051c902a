// HAProxy and nginx as people put them in front of the server, each in a folder and on a port of its own.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';

import { freePort } from './fleet.mjs';
import { temporaryFolder, until } from './server.mjs';

const children = new Set();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

export const accepts = (port, host = '127.0.0.1') => new Promise((done) => {
  const socket = net.connect(port, host, () => {
    socket.destroy();
    done(true);
  });
  socket.on('error', () => done(false));
});

async function start(program, args, port) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (said += bytes));
  let ended = null;
  const exited = new Promise((done) => {
    child.on('error', (error) => (ended = error, done()));
    child.on('close', (code) => (ended ??= code ?? 'a signal', children.delete(child), done()));
  });
  await until(() => {
    assert.equal(ended, null, `${program} ended (${ended}): ${said}`);
    return accepts(port);
  }, `${program} to listen`);
  return { host: '127.0.0.1', port, said: () => said, async stop() {
    child.kill('SIGTERM');
    await exited;
  } };
}

/** @param body  its configuration below `defaults`; `PORT` in it is the port to listen on */
export async function startHaproxy(body, { mode = 'tcp' } = {}) {
  const port = await freePort();
  const file = join(temporaryFolder(), 'haproxy.cfg');
  writeFileSync(file, `global
  maxconn 4000
defaults
  mode ${mode}
  timeout connect 5s
  timeout client 5s
  timeout server 5s
${body.replaceAll('PORT', String(port))}
`);
  return start('/usr/sbin/haproxy', ['-db', '-q', '-f', file], port);
}

/** @param body  the `server` blocks; `PORT` in it is the port to listen on */
export async function startNginx(body) {
  const port = await freePort();
  const folder = temporaryFolder();
  const file = join(folder, 'nginx.conf');
  writeFileSync(file, `daemon off;
worker_processes 1;
pid ${folder}/pid;
error_log stderr crit;
events { worker_connections 1024; }
http {
  access_log off;
${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((each) => `  ${each}_temp_path ${folder}/${each};`).join('\n')}
${body.replaceAll('PORT', String(port))}
}
`);
  return start('/usr/sbin/nginx', ['-p', folder, '-c', file], port);
}

/** The version of a program, for the name of a test. */
export const versionOf = (program) => /\d+\.\d+\.\d+/.exec(execFileSync('sh', ['-c', `${program} -v 2>&1`]).toString())[0];
