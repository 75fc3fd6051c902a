// Each user signs up once, reads itself, and refreshes before its access token ends.
import { sleep } from 'k6';

import { optionsFor, readUser, refresh, signUp, think } from './lib.js';

export const options = optionsFor('read', 500);

let session; // of this virtual user

export default function () {
  session = session || signUp('prepare');
  if (session.expires_at * 1000 < Date.now() + 60_000) session = refresh(session);
  readUser(session);
  sleep(think);
}
