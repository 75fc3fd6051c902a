// A network between client and server that loses answers and goes away. Plain HTTP in front, HTTPS behind.
import http from 'node:http';
import https from 'node:https';

const isRefresh = ({ url }) => url.includes('grant_type=refresh_token');

/**
 * @param options.target    {host, port, ca} of the server
 * @param options.loses     (client) => true when this answer to a refresh, already complete, is to be lost
 */
export async function startLossyProxy({ target, loses }) {
  const agent = new https.Agent({ keepAlive: true, ca: target.ca, servername: 'localhost', maxSockets: 64 });
  const sockets = new Set();
  const counts = { lost: 0, answered: 0, unreachable: 0 };
  let isDown = false;

  function forward(request, body, answered, failed) {
    const { method, url, headers } = request;
    const sent = https.request({ host: target.host, port: target.port, agent, method, path: url,
      headers: { ...headers, host: 'localhost', connection: 'keep-alive' } }, (answer) => {
      const chunks = [];
      answer.on('data', (chunk) => chunks.push(chunk));
      answer.on('error', failed);
      answer.on('end', () => answered(answer, Buffer.concat(chunks)));
    });
    sent.on('error', failed);
    sent.end(body);
  }

  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('error', () => {}); // the connection was cut by us
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const cut = (reason) => {
        if (isRefresh(request)) counts[reason] += 1;
        response.socket?.destroy();
      };
      if (isDown) return cut('unreachable');
      return forward(request, Buffer.concat(chunks), (answer, bytes) => {
        const { socket } = response;
        if (!socket || socket.destroyed || (isRefresh(request) && loses(request.headers['x-client-info']))) return cut('lost');
        if (isRefresh(request)) counts.answered += 1;
        response.writeHead(answer.statusCode, answer.headers);
        return response.end(bytes);
      }, () => cut('lost'));
    });
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));

  return {
    url: `http://127.0.0.1:${server.address().port}`,
    counts,
    /** The network goes away, with whatever is under way. */
    takeDown() {
      isDown = true;
      for (const socket of sockets) socket.destroy();
    },
    bringUp() {
      isDown = false;
    },
    close() {
      for (const socket of sockets) socket.destroy();
      agent.destroy();
      server.close();
    },
  };
}
