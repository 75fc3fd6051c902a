// What the scenarios share. Environment:
//   BASE       address of the API, default https://localhost:8443/auth/v1
//   USERS      virtual users, default 10
//   DURATION   default 30s
//   THINK      seconds between a user's actions, default 1
//   PASSWORD   of the accounts that sign-up makes
import { check } from 'k6';
import http from 'k6/http';

export const base = __ENV.BASE || 'https://localhost:8443/auth/v1';
export const users = Number(__ENV.USERS || 10);
export const duration = __ENV.DURATION || '30s';
export const think = Number(__ENV.THINK || 1);
export const password = __ENV.PASSWORD || 'k6-Passphrase-of-7-users';

/** Options of one scenario; `latency` is the p99 bound in milliseconds for its own requests. */
export function optionsFor(name, latency, more = {}) {
  return {
    insecureSkipTLSVerify: __ENV.INSECURE === '1',
    scenarios: { [name]: { executor: 'constant-vus', vus: users, duration, gracefulStop: '10s' } },
    thresholds: { checks: ['rate==1'], http_req_failed: ['rate==0'], [`http_req_duration{op:${name}}`]: [`p(99)<${latency}`], ...more },
  };
}

const json = { 'Content-Type': 'application/json' };
const tagged = (op, headers = {}) => ({ headers: Object.assign({}, json, headers), tags: { op, name: op } });
export const bearer = (session) => ({ Authorization: `Bearer ${session.access_token}` });

export const post = (op, path, body, headers) => http.post(`${base}${path}`, body === null ? null : JSON.stringify(body), tagged(op, headers));
export const get = (op, path, headers) => http.get(`${base}${path}`, tagged(op, headers));

export const emailOf = (number) => `k6.${__ENV.RUN || 'run'}.${number}.${Date.now()}.${Math.random().toString(36).slice(2)}@example.com`;

/** A new account; returns its session with the address. */
export function signUp(op = 'sign_up') {
  const email = emailOf(__VU);
  const answer = post(op, '/signup', { email, password });
  const session = answer.status === 200 ? answer.json() : {};
  check(answer, { 'signed up': () => answer.status === 200 && session.user.email === email });
  return Object.assign({ email }, session);
}

export function signIn(email) {
  const answer = post('sign_in', '/token?grant_type=password', { email, password });
  const session = answer.status === 200 ? answer.json() : {};
  check(answer, { 'signed in': () => answer.status === 200 && session.user.email === email });
  return Object.assign({ email }, session);
}

/** Rotates: the old token is spent, the new one must differ. */
export function refresh(session) {
  const answer = post('refresh', '/token?grant_type=refresh_token', { refresh_token: session.refresh_token });
  const next = answer.status === 200 ? answer.json() : {};
  check(answer, { rotated: () => answer.status === 200 && next.refresh_token !== session.refresh_token && next.user.email === session.email });
  return Object.assign({ email: session.email }, next);
}

export function readUser(session) {
  const answer = get('read', '/user', bearer(session));
  check(answer, { 'is the user': () => answer.status === 200 && answer.json('email') === session.email });
}

export function signOut(session) {
  const answer = post('sign_out', '/logout?scope=local', null, bearer(session));
  check(answer, { 'signed out': () => answer.status === 204 });
}
