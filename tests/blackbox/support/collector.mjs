// A collector of traces (OTLP/HTTP, JSON) that keeps what it is sent.
import http from 'node:http';

/** @param options.answer  (response) => void; the default takes everything */
export async function startCollector({ answer = (response) => response.writeHead(200, { 'content-type': 'application/json' }).end('{}') } = {}) {
  const bodies = [];
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      bodies.push({ path: request.url, method: request.method, type: request.headers['content-type'], text: Buffer.concat(chunks).toString('utf8') });
      answer(response);
    });
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  server.unref(); // a test that fails must not keep the process
  return {
    endpoint: `http://127.0.0.1:${server.address().port}/v1/traces`,
    bodies,
    /** Every span so far, its attributes as an object. */
    spans: () => bodies.flatMap(({ text }) => JSON.parse(text).resourceSpans)
      .flatMap(({ scopeSpans }) => scopeSpans).flatMap(({ spans }) => spans)
      .map((span) => ({ ...span, attributes: Object.fromEntries(span.attributes.map(({ key, value }) => [key, value.stringValue ?? Number(value.intValue)])) })),
    stop: () => new Promise((closed) => {
      server.closeAllConnections?.();
      server.close(closed);
    }),
  };
}
