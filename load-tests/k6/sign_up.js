// Every iteration makes an account. Bound by the hash budget: USERS over THINK is the rate offered.
import { sleep } from 'k6';

import { optionsFor, signUp, think } from './lib.js';

export const options = optionsFor('sign_up', 3000);

export default function () {
  signUp();
  sleep(think);
}
