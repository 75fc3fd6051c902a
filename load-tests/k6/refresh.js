// Each user signs up once and rotates its refresh token from then on.
import { sleep } from 'k6';

import { optionsFor, refresh, signUp, think } from './lib.js';

export const options = optionsFor('refresh', 500);

let session; // of this virtual user

export default function () {
  session = session ? refresh(session) : signUp('prepare');
  sleep(think);
}
