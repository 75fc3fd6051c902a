// Every route of the server: a valid request, what its answer must be, and what its refusals are. A path is
// written as in the server's route table; `valid(context)` makes a request that may be sent once.
import assert from 'node:assert/strict';

import { assertTokenResponse, assertUser, claimsOf, newAccount, newEmail, newPassword, newSession } from './client.mjs';

const under = (path) => `/auth/v1${path}`;
const is = (status, member) => (answer) => {
  assert.equal(answer.status, status, answer.text);
  if (member) assert.ok(member in answer.json, answer.text);
};

/** Changes that no route with a JSON body may take. */
const bodyFaults = [
  { status: 400, code: 'bad_json', why: 'no JSON', change: () => ({ body: '{', headers: { 'content-type': 'application/json' } }) },
  { status: 400, code: ['bad_json', 'validation_failed'], why: 'no object', change: () => ({ body: '[]', headers: { 'content-type': 'application/json' } }) },
  { status: 400, code: 'validation_failed', why: 'another content type',
    change: (r) => ({ body: JSON.stringify(r.body), headers: { 'content-type': 'text/plain' } }) },
];
/** And what no route for signed-in users may. */
const bearerFaults = [
  { status: 401, code: 'no_authorization', why: 'no bearer', change: () => ({ token: undefined }) },
  { status: 401, code: 'no_authorization', why: 'another scheme', change: () => ({ token: undefined, headers: { authorization: 'Basic dTpw' } }) },
  { status: 403, code: 'bad_jwt', why: 'a token that is none', change: () => ({ token: 'a.b.c' }) },
];
const withBody = (body) => (r) => ({ body: { ...r.body, ...body } });

/** One account whose session an `others` or `global` may end without harm to the other tests. */
async function spare(context) {
  context.spare ??= await newAccount(context.server);
  return context.spare;
}

export const routes = [
  {
    method: 'POST', path: '/signup', isPublic: true, takesBody: true, needsBody: true,
    valid: () => ({ path: under('/signup'), body: { email: newEmail(), password: newPassword() } }),
    optional: ['phone', 'data', 'code_challenge', 'code_challenge_method', 'gotrue_meta_security', 'channel'],
    check: assertTokenResponse,
    faults: [...bodyFaults,
      { status: 422, code: 'anonymous_provider_disabled', why: 'no credentials', change: () => ({ body: {} }) },
      { status: 422, code: 'anonymous_provider_disabled', why: 'nulls only', change: () => ({ body: { email: null, password: null } }) },
      { status: 422, code: 'weak_password', why: 'a short password', change: withBody({ password: 'short' }), pointer: '/password' },
      { status: 400, code: 'validation_failed', why: 'no password', change: withBody({ password: null }), pointer: '/password' },
      { status: 400, code: 'validation_failed', why: 'an email that is no string', change: withBody({ email: 5 }), pointer: '/email' },
      { status: 400, code: 'validation_failed', why: 'data that is no object', change: withBody({ data: [] }), pointer: '/data' },
      { status: 400, code: 'email_address_invalid', why: 'no address', change: withBody({ email: 'nobody' }), pointer: '/email' },
      { status: 400, code: 'phone_provider_disabled', why: 'a phone', change: (r) => ({ body: { phone: '+4915112345678', password: r.body.password } }) }],
  },
  {
    method: 'POST', path: '/token', isPublic: true, takesBody: true, needsBody: true,
    valid: ({ account }) => ({ path: under('/token?grant_type=password'), body: { email: account.email, password: account.password } }),
    optional: ['phone', 'data', 'gotrue_meta_security', 'channel'],
    check: assertTokenResponse,
    faults: [...bodyFaults,
      { status: 400, code: 'invalid_credentials', why: 'a wrong password', change: withBody({ password: 'Vz9-not-the-one' }) },
      { status: 400, code: 'invalid_credentials', why: 'an unknown address', change: () => ({ body: { email: newEmail(), password: newPassword() } }) },
      { status: 400, code: 'validation_failed', why: 'no password', change: withBody({ password: null }), pointer: '/password' },
      { status: 400, code: 'validation_failed', why: 'no address', change: withBody({ email: null }), pointer: '/email' },
      { status: 422, code: 'phone_provider_disabled', why: 'a phone', change: (r) => ({ body: { phone: '+4915112345678', password: r.body.password } }) },
      { status: 400, code: 'invalid_credentials', why: 'no grant type', change: () => ({ path: under('/token') }) },
      { status: 400, code: 'refresh_token_not_found', why: 'a foreign refresh token',
        change: () => ({ path: under('/token?grant_type=refresh_token'), body: { refresh_token: 'v1.foreign' } }) },
      { status: 400, code: 'validation_failed', why: 'no refresh token', pointer: '/refresh_token',
        change: () => ({ path: under('/token?grant_type=refresh_token'), body: {} }) }],
  },
  {
    method: 'POST', path: '/logout', takesBody: true,
    valid: async (context) => ({ path: under('/logout?scope=others'), token: (await spare(context)).access_token }),
    check: is(204),
    faults: [...bearerFaults,
      { status: 400, code: 'validation_failed', why: 'an unknown scope', change: () => ({ path: under('/logout?scope=everything') }) }],
  },
  {
    method: 'GET', path: '/user',
    valid: ({ account }) => ({ path: under('/user'), token: account.access_token }),
    check: (answer) => (assert.equal(answer.status, 200, answer.text), assertUser(answer.json)),
    faults: bearerFaults,
  },
  {
    method: 'PUT', path: '/user', takesBody: true,
    valid: async (context) => ({ path: under('/user'), token: (await spare(context)).access_token, body: { data: { theme: 'dark' } } }),
    optional: ['email', 'phone', 'password', 'current_password', 'nonce', 'code_challenge', 'code_challenge_method', 'channel'],
    check: (answer) => (assert.equal(answer.status, 200, answer.text), assertUser(answer.json)),
    faults: [...bearerFaults, ...bodyFaults,
      { status: 400, code: 'validation_failed', why: 'data that is no object', change: withBody({ data: 'x' }), pointer: '/data' },
      { status: 422, code: 'weak_password', why: 'a short password', change: withBody({ password: 'short' }), pointer: '/password' },
      { status: 404, code: 'feature_disabled', why: 'a new email', change: withBody({ email: newEmail() }) },
      { status: 404, code: 'feature_disabled', why: 'a new phone', change: withBody({ phone: '+4915112345678' }) }],
  },
  {
    method: 'GET', path: '/sessions',
    valid: ({ account }) => ({ path: under('/sessions'), token: account.access_token }),
    check: is(200, 'sessions'),
    faults: bearerFaults,
  },
  {
    method: 'DELETE', path: '/sessions',
    valid: async (context) => ({ path: under('/sessions?except=current'), token: (await spare(context)).access_token }),
    check: is(204),
    faults: [...bearerFaults,
      { status: 400, code: 'validation_failed', why: 'nothing to keep', change: () => ({ path: under('/sessions') }) }],
  },
  {
    method: 'DELETE', path: '/sessions/{id}',
    async valid(context) {
      const account = await newAccount(context.server); // one account takes a burst of 20 sign-ins, no more
      const { session_id } = claimsOf((await newSession(context.server, account)).access_token);
      return { path: under(`/sessions/${session_id}`), token: account.access_token };
    },
    check: is(204),
    faults: [...bearerFaults,
      { status: 400, code: 'validation_failed', why: 'an id that is no UUID', change: () => ({ path: under('/sessions/1') }) },
      { status: 404, code: 'not_found', why: 'an unknown id', change: () => ({ path: under('/sessions/01890000-0000-7000-8000-000000000001') }) }],
  },
  { method: 'GET', path: '/settings', isPublic: true, valid: () => ({ path: under('/settings') }), check: is(200, 'external'), faults: [] },
  { method: 'GET', path: '/openapi.json', isPublic: true, valid: () => ({ path: under('/openapi.json') }), check: is(200, 'openapi'), faults: [] },
  { method: 'GET', path: '/health', isPublic: true, valid: () => ({ path: under('/health') }), check: is(200, 'status'), faults: [] },
  { method: 'GET', path: '/.well-known/jwks.json', isPublic: true, valid: () => ({ path: under('/.well-known/jwks.json') }), check: is(200, 'keys'), faults: [] },
];
