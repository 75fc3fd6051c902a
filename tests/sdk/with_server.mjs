// Starts the server, then the tests in a process of their own: Node reads the certificates it trusts
// (NODE_EXTRA_CA_CERTS) only when a process starts.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';

import { quickStop, startServer } from '../blackbox/support/server.mjs';

const server = await startServer({ env: quickStop });
const files = process.argv.length > 2 ? process.argv.slice(2) : readdirSync('.').filter((name) => name.endsWith('.test.mjs'));
const tests = spawn(process.execPath, ['--test', '--test-concurrency=1', '--test-reporter=tap', ...files], {
  stdio: 'inherit',
  env: { ...process.env, NODE_EXTRA_CA_CERTS: server.certificate, PAM_SDK_ORIGIN: `https://${server.host}:${server.port}` },
});
const code = await new Promise((done) => tests.on('close', done));
await server.stop();
process.exit(code ?? 1);
