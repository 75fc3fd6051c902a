// An HTTPS client that hides nothing, the calls the tests repeat, and what every answer must keep.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';

import { Description } from './openapi.mjs';

const agents = new Map();

function agentOf(server) {
  if (!agents.has(server)) agents.set(server, new https.Agent({ keepAlive: true, ca: server.ca, servername: 'localhost' }));
  return agents.get(server);
}

const descriptions = new WeakMap();

/** What the server says of its API; asked once a server. */
export function descriptionOf(server) {
  if (!descriptions.has(server)) {
    const asked = send(https, { host: server.host, port: server.port, agent: agentOf(server), path: '/openapi.json' });
    descriptions.set(server, asked.then(({ json }) => new Description(json)));
  }
  return descriptions.get(server);
}

/** Lets go of the kept connections to a server that ends. */
export function forget(server) {
  agents.get(server)?.destroy();
  agents.delete(server);
}

function send(module, options, body) {
  return new Promise((done, fail) => {
    const request = module.request(options, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', fail);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        let json;
        try {
          json = JSON.parse(text);
        } catch {
          json = undefined;
        }
        done({ status: response.statusCode, headers: response.headers, text, json });
      });
    });
    request.on('error', fail);
    request.end(body);
  });
}

/**
 * One request, whose answer must be one that the server's description promises. `body` is sent as JSON unless it is a string or a Buffer; a JSON body has its content type.
 * @param options.token    bearer token
 * @param options.headers  added last, so they win
 * @param options.from     loopback address to connect from
 */
export async function call(server, method, path, { body, token, headers = {}, from } = {}) {
  const isRaw = body === undefined || typeof body === 'string' || Buffer.isBuffer(body);
  const bytes = isRaw ? body : JSON.stringify(body);
  const fields = {};
  if (!isRaw) fields['content-type'] = 'application/json';
  if (bytes !== undefined) fields['content-length'] = Buffer.byteLength(bytes);
  if (token) fields.authorization = `Bearer ${token}`;
  const options = {
    host: server.host, port: server.port, agent: agentOf(server), method, path, headers: { ...fields, ...headers },
    ...(from ? { localAddress: from } : {}),
  };
  const answer = await send(https, options, bytes);
  if (!server.isUndescribed) (await descriptionOf(server)).check(method, path, answer);
  return answer;
}

/** The internal port speaks plain HTTP on loopback. */
export function callInternal(server, path) {
  return send(http, { host: '127.0.0.1', port: server.internal_port, path, agent: false });
}

/** The sum of one metric over its labels that match, read from the internal port. */
export async function metric(server, name, labels = '') {
  const { status, text } = await callInternal(server, '/metrics');
  assert.equal(status, 200);
  let sum = 0;
  let seen = false;
  for (const line of text.split('\n')) {
    const match = /^([A-Za-z_:][\w:]*)(\{.*\})? (\S+)$/.exec(line);
    if (match && match[1] === name && (match[2] ?? '').includes(labels)) {
      seen = true;
      sum += Number(match[3]);
    }
  }
  assert.ok(seen, `/metrics has no ${name}`);
  return sum;
}

export const newEmail = (name = 'user') => `${name}.${randomBytes(6).toString('hex')}@example.com`;
export const newPassword = () => `Vz9-${randomBytes(9).toString('base64url')}`;

export const signUp = (server, email, password, more = {}) =>
  call(server, 'POST', '/auth/v1/signup', { body: { email, password, ...more } });

export const signIn = (server, email, password) =>
  call(server, 'POST', '/auth/v1/token?grant_type=password', { body: { email, password } });

export const refresh = (server, refreshToken) =>
  call(server, 'POST', '/auth/v1/token?grant_type=refresh_token', { body: { refresh_token: refreshToken } });

export const getUser = (server, token) => call(server, 'GET', '/auth/v1/user', { token });

export const logOut = (server, token, scope) =>
  call(server, 'POST', `/auth/v1/logout${scope === undefined ? '' : `?scope=${scope}`}`, { token });

/** A new account with its first session: {email, password, ...token response}. */
export async function newAccount(server, more = {}) {
  const email = newEmail();
  const password = newPassword();
  const answer = await signUp(server, email, password, more);
  assert.equal(answer.status, 200, answer.text);
  return { email, password, ...answer.json };
}

/** One more session of an account, as a token response. */
export async function newSession(server, { email, password }) {
  const answer = await signIn(server, email, password);
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}

export const claimsOf = (accessToken) =>
  JSON.parse(Buffer.from(accessToken.split('.')[1], 'base64url').toString('utf8'));

const problemMembers = new Set(['type', 'title', 'status', 'detail', 'code', 'error_code', 'msg', 'message',
  'request_id', 'errors', 'weak_password', 'reason', 'may_have_happened']);
const tellTale = /\.cpp|\.hpp|std::|boost|terminate|SQLSTATE|\bSELECT\b|\bUPDATE\b|\bINSERT\b|libpq|0x[0-9a-f]{6,}/;

/** The answer is the error `code` with exactly the members of the contract, and gives nothing away. */
export function assertProblem(answer, status, code, { stringCode = false } = {}) {
  assert.equal(answer.status, status, answer.text);
  const codes = Array.isArray(code) ? code : [code];
  const problem = answer.json;
  assert.ok(problem, `no JSON: ${answer.text}`);
  assert.match(answer.headers['content-type'], /^application\/problem\+json/);
  assert.ok(codes.includes(problem.error_code), `${problem.error_code} is not ${codes.join(' or ')}`);
  assert.equal(answer.headers['x-sb-error-code'], problem.error_code);
  assert.ok(problem.type.endsWith(`/errors/${problem.error_code}`), problem.type);
  assert.equal(problem.status, status);
  assert.equal(problem.code, stringCode ? problem.error_code : status);
  assert.ok(problem.title.length > 0);
  assert.ok(problem.detail.length > 0);
  assert.ok(problem.msg.length > 0);
  assert.equal(problem.message, problem.msg);
  assert.equal(problem.request_id, answer.headers['x-request-id']);
  for (const member of Object.keys(problem)) assert.ok(problemMembers.has(member), `unexpected member ${member}`);
  for (const entry of problem.errors ?? []) assert.deepEqual(Object.keys(entry).sort(), ['pointer', 'reason']);
  assert.doesNotMatch(answer.text, tellTale);
  if (status === 429 || status === 503) assert.match(answer.headers['retry-after'], /^\d+$/);
}

/** RFC 3339 with microseconds and Z. */
export const timestamp = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;
export const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** The answer is a token response with exactly the members of the contract. */
export function assertTokenResponse(answer) {
  assert.equal(answer.status, 200, answer.text);
  const { weak_password: _, ...members } = answer.json;
  assert.deepEqual(Object.keys(members).sort(),
    ['access_token', 'expires_at', 'expires_in', 'refresh_token', 'token_type', 'user']);
  assert.equal(members.token_type, 'bearer');
  assert.ok(Number.isInteger(members.expires_in));
  assert.ok(members.expires_in > 60 && members.expires_in <= 86_400);
  assert.equal(members.expires_at, claimsOf(members.access_token).exp);
  assert.match(members.refresh_token, /^pamr1_[A-Za-z0-9_-]{96}$/);
  assert.match(answer.headers['cache-control'], /no-store/);
  assertUser(members.user);
}

const userMembers = {
  required: ['id', 'aud', 'role', 'email', 'phone', 'app_metadata', 'user_metadata', 'identities', 'created_at',
    'updated_at', 'is_anonymous'],
  optional: ['email_confirmed_at', 'phone_confirmed_at', 'confirmed_at', 'confirmation_sent_at', 'recovery_sent_at',
    'invited_at', 'new_email', 'email_change_sent_at', 'new_phone', 'phone_change_sent_at', 'reauthentication_sent_at',
    'last_sign_in_at', 'factors', 'banned_until', 'deleted_at'],
};

export function assertUser(user) {
  const known = new Set([...userMembers.required, ...userMembers.optional]);
  for (const member of userMembers.required) assert.ok(member in user, `the user lacks ${member}`);
  for (const [member, value] of Object.entries(user)) {
    assert.ok(known.has(member), `unexpected member ${member}`);
    assert.notEqual(value, null, `${member} is null`);
    if (member.endsWith('_at') || member.endsWith('_until')) assert.match(value, timestamp, member);
  }
  assert.match(user.id, uuid);
  assert.equal(user.aud, 'authenticated');
  assert.equal(user.role, 'authenticated');
  assert.ok(Array.isArray(user.identities));
  for (const identity of user.identities) {
    for (const member of ['identity_id', 'id', 'user_id', 'identity_data', 'provider', 'created_at', 'updated_at', 'email']) {
      assert.ok(member in identity, `the identity lacks ${member}`);
    }
    assert.equal(identity.user_id, user.id);
  }
}
