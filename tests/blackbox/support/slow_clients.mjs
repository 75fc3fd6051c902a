// Many slow clients, in a process of their own: so that they have descriptors and a core beside those of the
// test that measures. Run by `attack` below.
import { fork } from 'node:child_process';
import net from 'node:net';
import { fileURLToPath } from 'node:url';

/**
 * Connects `count` clients that send `bytes` and read nothing, from several addresses, for the ports. Resolves
 * when all have sent. `end()` closes what is left of them.
 */
export function attack({ host, port }, count, bytes) {
  const child = fork(fileURLToPath(import.meta.url), [host, String(port), String(count), Buffer.from(bytes).toString('base64')]);
  const exited = new Promise((done) => child.on('exit', done));
  process.on('exit', () => child.kill('SIGKILL'));
  return new Promise((done, fail) => {
    child.on('message', (said) => {
      if (said === 'sent') done({ end: () => (child.kill('SIGKILL'), exited) }); // a promise settles once: the end is no failure then
      else fail(new Error(said));
    });
    exited.then((code) => fail(new Error(`the slow clients ended: ${code}`)));
  });
}

async function main([host, port, count, encoded]) {
  const bytes = Buffer.from(encoded, 'base64');
  const sockets = [];
  const open = (i) => new Promise((done, fail) => {
    const socket = net.connect({ host, port: Number(port), localAddress: `127.0.0.${2 + i % 8}` }, () => {
      socket.pause();
      // Not the callback of write: a server that reads nothing may have closed before it comes.
      socket.write(bytes);
      done();
    });
    socket.on('error', fail);
    sockets.push(socket);
  });
  // A few hundred at a time: a full accept queue would delay them by a second each.
  for (let i = 0; i < Number(count);) {
    const next = [];
    for (; next.length < 200 && i < Number(count); ++i) next.push(open(i));
    await Promise.all(next);
  }
  process.on('message', () => {}); // paused sockets keep no process alive
  process.send('sent');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main(process.argv.slice(2)).catch((error) => process.send(error.message, () => process.exit(1)));
}
