// A resource server verifies our access tokens with a stock JOSE library and the published keys.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, describe, test } from 'node:test';

import { AuthClient } from '@supabase/auth-js';
import { createRemoteJWKSet, decodeJwt, errors, jwtVerify } from 'jose';

const origin = process.env.PAM_SDK_ORIGIN;

describe('jose', { timeout: 60_000 }, () => {
  let session;
  before(async () => {
    const client = new AuthClient({ url: `${origin}/auth/v1`, persistSession: false, autoRefreshToken: false });
    const { data, error } = await client.signUp({ email: `jose.${randomBytes(6).toString('hex')}@example.com`,
      password: `Vz9-${randomBytes(9).toString('base64url')}` });
    assert.equal(error, null);
    session = data.session;
  });

  for (const path of ['/.well-known/jwks.json', '/auth/v1/.well-known/jwks.json']) {
    test(`verifies a token with the keys at ${path}`, async () => {
      const keys = createRemoteJWKSet(new URL(path, origin));
      const { iss } = decodeJwt(session.access_token);

      const { payload, protectedHeader } = await jwtVerify(session.access_token, keys,
        { issuer: iss, audience: 'authenticated', typ: 'JWT', algorithms: ['ES256'], requiredClaims: ['sub', 'exp', 'iat', 'session_id'] });

      assert.match(iss, /\/auth\/v1$/);
      assert.equal(payload.sub, session.user.id);
      assert.ok(protectedHeader.kid);
      assert.equal(payload.exp, session.expires_at);
    });
  }

  test('refuses the token for another audience or issuer', async () => {
    const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', origin));

    await assert.rejects(jwtVerify(session.access_token, keys, { audience: 'another' }), errors.JWTClaimValidationFailed);
    await assert.rejects(jwtVerify(session.access_token, keys, { issuer: 'https://evil.example' }), errors.JWTClaimValidationFailed);
  });

  test('refuses a changed token', async () => {
    const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', origin));
    const [header, payload, signature] = session.access_token.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
    const changed = Buffer.from(JSON.stringify({ ...claims, role: 'service_role' })).toString('base64url');

    await assert.rejects(jwtVerify(`${header}.${changed}.${signature}`, keys), errors.JWSSignatureVerificationFailed);
  });
});
