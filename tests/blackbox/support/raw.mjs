// Bytes on a TLS connection, for what no HTTP client would send.
import tls from 'node:tls';

/** Opens a TLS connection; resolves when the handshake is done. */
export function connect(server) {
  return new Promise((done, fail) => {
    const socket = tls.connect({ host: server.host, port: server.port, ca: server.ca, servername: 'localhost',
      ALPNProtocols: ['http/1.1'] });
    socket.once('secureConnect', () => done(socket));
    socket.once('error', fail);
  });
}

/**
 * Sends the pieces one after another and resolves with everything that came back until the server closed
 * the connection or `isEnough(text)` said so.
 */
export async function exchange(server, pieces, isEnough = () => false) {
  const socket = await connect(server);
  return new Promise((done) => {
    let text = '';
    let closed = false;
    const finish = () => {
      socket.destroy();
      done({ text, closed, answers: parseAnswers(text) });
    };
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1');
      if (isEnough(text)) finish();
    });
    // A reset after the answer is a close like any other.
    socket.on('error', () => {});
    socket.on('close', () => {
      closed = true;
      finish();
    });
    for (const piece of [pieces].flat()) socket.write(piece);
  });
}

/** Splits what a server sent into answers; every answer of ours has a Content-Length. */
export function parseAnswers(text) {
  const answers = [];
  let rest = text;
  for (;;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) return answers;
    const [statusLine, ...lines] = rest.slice(0, end).split('\r\n');
    const headers = Object.fromEntries(lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }));
    const status = Number(statusLine.split(' ')[1]);
    const length = Number(headers['content-length'] ?? 0);
    const body = rest.slice(end + 4, end + 4 + length);
    if (status >= 200) {
      let json;
      try {
        json = JSON.parse(body);
      } catch {
        json = undefined;
      }
      answers.push({ status, headers, text: body, json });
    }
    rest = rest.slice(end + 4 + length);
  }
}

/** True once `count` whole answers have arrived. */
export const answersIn = (count) => (text) => {
  const answers = parseAnswers(text);
  const last = answers.at(-1);
  return answers.length >= count && last.text.length >= Number(last.headers['content-length'] ?? 0);
};
