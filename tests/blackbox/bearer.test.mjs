// What an access token must survive: our keys verify it, and nothing else gets in (RFC 8725).
import assert from 'node:assert/strict';
import { createHmac, createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto';
import { after, before, describe, test } from 'node:test';

import { assertProblem, call, claimsOf, forget, getUser, logOut, metric, newAccount } from './support/client.mjs';
import { install } from './support/fleet.mjs';
import { quickStop, startServer } from './support/server.mjs';

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const headerOf = (token) => JSON.parse(Buffer.from(token.split('.')[0], 'base64url').toString('utf8'));

/** A token with the given header and claims, signed by `signer(input)`. */
function forge(header, claims, signer) {
  const input = `${encode(header)}.${encode(claims)}`;
  return `${input}.${signer(input).toString('base64url')}`;
}

describe('bearer tokens', { timeout: 120_000 }, () => {
  let server;
  let account;
  let jwk;
  before(async () => {
    server = await startServer({ env: quickStop });
    account = await newAccount(server);
    const { keys } = (await call(server, 'GET', '/.well-known/jwks.json')).json;
    jwk = keys.find(({ kid }) => kid === headerOf(account.access_token).kid);
  });
  after(async () => {
    forget(server);
    await server?.stop();
  });

  test('are known to the process that signed them', async () => {
    const own = await startServer({ env: { ...quickStop, PAM_SERVER__SHARDS: '1' } });
    const known = await metric(own, 'pam_auth_verified_tokens_total', 'outcome="known"');

    const fresh = await newAccount(own);
    assert.equal((await getUser(own, fresh.access_token)).status, 200);

    assert.equal(await metric(own, 'pam_auth_verified_tokens_total', 'outcome="known"'), known + 1);
    forget(own);
    await own.stop();
  });

  test('verify with the published key and carry the promised claims', () => {
    const [header, payload, signature] = account.access_token.split('.');
    const key = createPublicKey({ key: jwk, format: 'jwk' });

    assert.ok(verify('sha256', Buffer.from(`${header}.${payload}`), { key, dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature, 'base64url')));
    assert.deepEqual(headerOf(account.access_token), { alg: 'ES256', kid: jwk.kid, typ: 'JWT' });
    const claims = claimsOf(account.access_token);
    for (const claim of ['iss', 'sub', 'aud', 'exp', 'iat', 'email', 'phone', 'app_metadata', 'user_metadata', 'role', 'aal',
      'amr', 'session_id', 'is_anonymous']) assert.ok(claim in claims, `the token lacks ${claim}`);
    assert.match(claims.iss, /\/auth\/v1$/);
    assert.equal(claims.aud, 'authenticated');
    assert.equal(claims.role, 'authenticated');
    assert.equal(claims.aal, 'aal1');
    assert.equal(claims.amr[0].method, 'password');
    assert.equal(claims.sub, account.user.id);
    assert.equal(claims.email, account.email);
  });

  test('are asked for where one is missing or of another kind', async () => {
    for (const authorization of [undefined, '', 'Bearer', 'Bearer ', 'Basic dXNlcjpwYXNz', 'Token x']) {
      const headers = authorization === undefined ? {} : { authorization };
      assertProblem(await call(server, 'GET', '/auth/v1/user', { headers }), 401, 'no_authorization');
    }
  });

  test('of any length and content are refused without harm', async () => {
    for (const token of ['x', 'a.b', 'a.b.c', '..', 'a.b.c.d', '.'.repeat(500), `${'A'.repeat(9000)}.e30.AA`, 'ä.ö.ü']) {
      const answer = await call(server, 'GET', '/auth/v1/user',
        { headers: { authorization: Buffer.from(`Bearer ${token}`, 'utf8').toString('latin1') } });
      assert.ok([401, 403].includes(answer.status), answer.text);
      assertProblem(answer, answer.status, ['no_authorization', 'bad_jwt']);
    }
  });

  test('with any single character of the signature changed are refused', async () => {
    const [header, payload, signature] = account.access_token.split('.');
    for (let i = 0; i < signature.length; i += 7) {
      const changed = signature.slice(0, i) + (signature[i] === 'A' ? 'B' : 'A') + signature.slice(i + 1);
      assertProblem(await getUser(server, `${header}.${payload}.${changed}`), 403, 'bad_jwt');
    }
  });

  test('are refused when the signature has a second spelling', async () => {
    // The last base64url character of 64 bytes carries four unused bits.
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const last = alphabet.indexOf(account.access_token.at(-1));
    for (const spelling of [account.access_token.slice(0, -1) + alphabet[last ^ 1], `${account.access_token}=`,
      `${account.access_token}==`]) {
      const answer = await getUser(server, spelling);
      assert.ok([401, 403].includes(answer.status), answer.text);
    }
  });

  test('for somebody else under the same signature are refused', async () => {
    const other = await newAccount(server);
    const [header, , signature] = account.access_token.split('.');

    assertProblem(await getUser(server, `${header}.${encode(claimsOf(other.access_token))}.${signature}`), 403, 'bad_jwt');
  });

  test('without a signature or with a confused algorithm are refused', async () => {
    const claims = claimsOf(account.access_token);
    const { kid } = jwk;
    const pem = createPublicKey({ key: jwk, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
    const hmac = (secret) => (input) => createHmac('sha256', secret).update(input).digest();
    const none = () => Buffer.alloc(0);

    for (const token of [
      forge({ alg: 'none', typ: 'JWT' }, claims, none), forge({ alg: 'none', typ: 'JWT', kid }, claims, none),
      forge({ alg: 'NoNe', typ: 'JWT', kid }, claims, none), forge({ alg: 'ES256', typ: 'JWT', kid }, claims, none),
      forge({ alg: 'HS256', typ: 'JWT', kid }, claims, hmac(pem)),
      forge({ alg: 'HS256', typ: 'JWT', kid }, claims, hmac(JSON.stringify(jwk))),
      forge({ alg: 'HS256', typ: 'JWT', kid }, claims, hmac('')),
      forge({ alg: 'ES256', typ: 'JWT', kid }, claims, () => Buffer.alloc(64)),
    ]) assertProblem(await getUser(server, token), 403, 'bad_jwt');
  });

  test('that bring their own key are refused', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const own = publicKey.export({ format: 'jwk' });
    const claims = claimsOf(account.access_token);
    const signer = (input) => sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' });

    for (const header of [
      { alg: 'ES256', typ: 'JWT', kid: jwk.kid }, { alg: 'ES256', typ: 'JWT', kid: 'mine' }, { alg: 'ES256', typ: 'JWT' },
      { alg: 'ES256', typ: 'JWT', jwk: own }, { alg: 'ES256', typ: 'JWT', kid: jwk.kid, jwk: own },
      { alg: 'ES256', typ: 'JWT', kid: jwk.kid, jku: 'https://127.0.0.1/jwks.json' },
      { alg: 'ES256', typ: 'JWT', kid: jwk.kid, x5u: 'https://127.0.0.1/cert.pem' },
      { alg: 'ES256', typ: 'JWT', kid: jwk.kid, crit: ['exp'] },
      { alg: 'ES256', typ: 'JWT', kid: "' OR '1'='1" }, { alg: 'ES256', typ: 'JWT', kid: '../../../../etc/passwd' },
    ]) assertProblem(await getUser(server, forge(header, claims, signer)), 403, 'bad_jwt');
  });

  test('stop working at logout although they have not expired', async () => {
    const session = await newAccount(server);
    assert.equal((await getUser(server, session.access_token)).status, 200);

    await logOut(server, session.access_token);

    assertProblem(await getUser(server, session.access_token), 403, 'session_not_found');
  });

  test('guard every route that needs a user', async () => {
    for (const [method, path] of [['GET', '/auth/v1/user'], ['PUT', '/auth/v1/user'], ['POST', '/auth/v1/logout'],
      ['GET', '/auth/v1/sessions'], ['DELETE', '/auth/v1/sessions?except=current'],
      ['DELETE', '/auth/v1/sessions/00000000-0000-7000-8000-000000000000']]) {
      assertProblem(await call(server, method, path), 401, 'no_authorization');
      assertProblem(await call(server, method, path, { token: 'a.b.c' }), 403, 'bad_jwt');
    }
  });
});

// What a GoTrue installation that moved here has given out: HS256 under one secret, and no kid.
describe('old tokens without a kid', { timeout: 120_000 }, () => {
  const secret = Buffer.alloc(32, 'k');
  const hmac = (key) => (input) => createHmac('sha256', key).update(input).digest();
  const old = { alg: 'HS256', typ: 'JWT' };
  let installation;
  let server;
  let claims;
  before(async () => {
    installation = await install();
    installation.replaceKeys((keys) => [...keys, { kty: 'oct', kid: 'gotrue', alg: 'HS256', k: secret.toString('base64url'),
      pam_use: 'user', pam_state: 'previous', pam_accepts_no_kid: true }]);
    server = await installation.serve();
    claims = claimsOf((await newAccount(server)).access_token);
  });
  after(() => installation?.end());

  const without = (name) => Object.fromEntries(Object.entries(claims).filter(([each]) => each !== name));

  test('of this issuer are accepted where the key file says so', async () => {
    assert.equal((await getUser(server, forge(old, claims, hmac(secret)))).status, 200);
  });

  test('of another issuer are refused', async () => {
    for (const iss of ['https://other.example/auth/v1', `${claims.iss}/`, claims.iss.toUpperCase(), '', null, [claims.iss], 7]) {
      assertProblem(await getUser(server, forge(old, { ...claims, iss }, hmac(secret))), 403, 'bad_jwt');
    }
    assertProblem(await getUser(server, forge(old, without('iss'), hmac(secret))), 403, 'bad_jwt');
  });

  test('are held to every other rule', async () => {
    const now = Math.floor(Date.now() / 1000);
    const broken = [[old, { ...claims, aud: 'other' }], [old, without('aud')], [old, without('exp')], [old, { ...claims, exp: now - 1 }],
      [old, { ...claims, nbf: now + 60 }], [old, { ...claims, iat: now + 60 }], [old, without('sub')], [old, without('session_id')],
      [{ alg: 'HS256' }, claims], [{ ...old, typ: 'at+jwt' }, claims], [{ ...old, kid: 'other' }, claims], [{ ...old, kid: '' }, claims],
      [{ ...old, alg: 'HS512' }, claims], [{ ...old, alg: 'ES256' }, claims], [{ ...old, alg: 'none' }, claims],
      [{ ...old, crit: ['exp'] }, claims], [{ ...old, jku: 'https://127.0.0.1/keys' }, claims], [{ ...old, jwk: { kty: 'oct', k: 'AA' } }, claims]];
    for (const [header, said] of broken) assertProblem(await getUser(server, forge(header, said, hmac(secret))), 403, 'bad_jwt');
    assertProblem(await getUser(server, forge(old, claims, hmac(Buffer.alloc(32, 'x')))), 403, 'bad_jwt');
    assertProblem(await getUser(server, forge(old, claims, () => Buffer.alloc(0))), 403, 'bad_jwt');
  });

  test('are never an administrator\'s', async () => {
    const claimed = { ...claims, role: 'service_role' };
    assertProblem(await call(server, 'GET', '/auth/v1/admin/audit', { token: forge(old, claimed, hmac(secret)) }), 403, 'not_admin');
  });
});
