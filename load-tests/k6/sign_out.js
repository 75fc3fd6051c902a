// Each user signs in and out again: its token is refused from then on.
import { check, sleep } from 'k6';
import http from 'k6/http';

import { bearer, get, optionsFor, signIn, signOut, signUp, think } from './lib.js';

export const options = optionsFor('sign_out', 3000);

http.setResponseCallback(http.expectedStatuses(200, 204, 403));

let email; // of this virtual user

export default function () {
  email = email || signUp('prepare').email;
  const session = signIn(email);
  signOut(session);
  const answer = get('refused', '/user', bearer(session));
  check(answer, { refused: () => answer.status === 403 && answer.json('error_code') === 'session_not_found' });
  sleep(think);
}
