// Each user has one account and signs in again and again. Bound by the hash budget.
import { sleep } from 'k6';

import { optionsFor, signIn, signUp, think } from './lib.js';

export const options = optionsFor('sign_in', 3000);

let email; // of this virtual user

export default function () {
  email = email || signUp('prepare').email;
  signIn(email);
  sleep(think);
}
