// Two processes on one port, one of which has all its connections open: whoever the kernel gives to that one
// learns it, comes again and gets in.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { after, before, describe, test } from 'node:test';

import { metric } from './support/client.mjs';
import { freePort, install } from './support/fleet.mjs';
import { until } from './support/server.mjs';

const places = 8;
const internalPlaces = 64; // fixed
const newcomers = 60;

/** One try: the socket after its handshake, or what went wrong. It never gives up by itself. */
function knock(server, open) {
  return new Promise((done, fail) => {
    const socket = tls.connect({ host: server.host, port: server.port, ca: server.ca, servername: 'localhost' });
    open.add(socket);
    socket.once('secureConnect', () => done(socket));
    socket.once('error', fail);
    socket.once('close', () => open.delete(socket));
  });
}

describe('a process with all its connections open', { timeout: 120_000 }, () => {
  const open = new Set();
  let fleet;
  let full;
  let roomy;
  before(async () => {
    fleet = await install();
    const port = String(await freePort());
    full = await fleet.serve({ PAM_LISTEN__PORT: port, PAM_LIMITS__CONNECTIONS: String(places), PAM_LIMITS__KEEP_ALIVE: '10m' });
    for (let i = 0; i < places; ++i) await knock(full, open);
    roomy = await fleet.serve({ PAM_LISTEN__PORT: port, PAM_LIMITS__KEEP_ALIVE: '10m' });
  });
  after(async () => {
    for (const socket of open) socket.destroy();
    await fleet?.end();
  });

  test('sends newcomers on to another process, says so once and counts them', async (t) => {
    let resets = 0;
    const begun = performance.now();
    const arrive = async () => {
      for (;;) {
        try {
          return await knock(full, open);
        } catch (failure) {
          assert.equal(failure.code, 'ECONNRESET');
          ++resets;
          await new Promise((next) => setTimeout(next, 50));
        }
      }
    };
    const arrived = Promise.all(Array.from({ length: newcomers }, arrive));
    let isThere = false;
    arrived.then(() => (isThere = true));

    await until(() => isThere, `all of ${newcomers} to get in`, 20);
    t.diagnostic(`${newcomers} in within ${Math.round(performance.now() - begun)} ms, ${resets} resets`);

    assert.equal(await metric(full, 'pam_net_connections_open'), places);
    assert.equal(await metric(roomy, 'pam_net_connections_open'), newcomers);
    assert.ok(resets > 0, 'the kernel gave none to the full process');
    assert.equal(await metric(full, 'pam_net_connections_shed_total'), resets);
    assert.equal(await metric(roomy, 'pam_net_connections_shed_total'), 0);
    const told = full.output.all.split('\n').filter((line) => line.includes('"event":"connections_full"'));
    assert.equal(told.length, 1, full.output.all);
    const line = JSON.parse(told[0]);
    assert.deepEqual([line.level, line.connections], ['warn', places]);
    assert.match(line.detail, /raise limits\.connections or run one process more/);
  });

  test('serves one who comes once it has room', async () => {
    const accepted = await metric(full, 'pam_net_connections_accepted_total');
    const [one] = open;  // the first of those who filled it
    one.destroy();
    await until(async () => await metric(full, 'pam_net_connections_open') === places - 1, 'a place');

    await until(async () => {
      await knock(full, open);
      return await metric(full, 'pam_net_connections_open') === places;
    }, 'the place to be taken');

    assert.equal(await metric(full, 'pam_net_connections_accepted_total'), accepted + 1);
  });

  test('counts those of the internal port apart', async () => {
    const counters = () => Promise.all(['pam_internal_connections_shed_total', 'pam_net_connections_shed_total'].map((name) => metric(full, name)));
    const [none, others] = await counters();
    assert.equal(none, 0);
    const held = [];
    const visit = () => {
      const socket = net.connect({ host: full.host, port: full.internal_port });
      socket.on('error', () => {});
      held.push(socket);
      return socket;
    };
    for (let i = 0; i < internalPlaces; ++i) await once(visit(), 'connect');

    await new Promise((closed) => visit().once('close', closed));
    for (const socket of held) socket.destroy();

    // Until the server knows that they are gone it resets this one, too.
    const [resets, same] = await until(() => counters().catch(() => null), 'a place');
    assert.ok(resets >= 1);
    assert.equal(same, others);
  });
});
