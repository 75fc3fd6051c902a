// Clients that never give up and write down what they were promised; and the reckoning at the end.
import { claimsOf, newEmail, newPassword, refresh, signIn, signUp, logOut, call } from '../../blackbox/support/client.mjs';

/** Everything that must not happen, with the first few examples of each. */
export class Findings {
  constructor() {
    this.all = new Map();
  }
  add(kind, detail) {
    const known = this.all.get(kind) ?? [];
    known.push(detail);
    this.all.set(kind, known);
  }
  toString() {
    return [...this.all].map(([kind, list]) => `${kind} (${list.length}): ${list.slice(0, 3).join(' | ')}`).join('\n');
  }
}

const rest = (milliseconds) => new Promise((next) => setTimeout(next, milliseconds));
/** How long a lost successor is handed out again, ms: the servers' default (tokens.lost_response_window), less what a call may take. */
const lostResponseWindow = 290_000;
/** Nobody came back for the successor while it was still handed out. */
const isTooLate = (session, answer) =>
  performance.now() - session.lostAt > lostResponseWindow && answer.json?.error_code === 'refresh_token_already_used';
const pick = (list) => list[Math.floor(Math.random() * list.length)];

/**
 * The load: clients with accounts of their own, and clients that sign up the same few addresses. These come into play one
 * after the other over `signUps` answers, so that whatever fails, somebody is fighting for an address that is free.
 */
export class Load {
  constructor(servers, { clients, sharers, addresses, signUps }) {
    this.servers = servers;
    this.findings = new Findings();
    this.counts = { ok: 0, refused: 0, lost: 0 };
    this.lastSuccess = new Map(); // server -> time
    this.owners = [];
    this.addresses = Array.from({ length: addresses }, () => ({ email: newEmail('shared'), password: newPassword(), owners: new Set() }));
    this.sharedAnswers = 0;
    this.isOver = false;
    this.plan = { clients, sharers, signUps };
  }

  /** One call: the answer, or undefined when it is not known what happened. Judges what every answer must keep. */
  async attempt(what, work) {
    const server = pick(this.servers);
    let answer;
    try {
      answer = await work(server);
    } catch {
      ++this.counts.lost;
      await rest(20);
      return undefined;
    }
    if (answer.status === 503) {
      ++this.counts.refused;
      if (!/^\d+$/.test(answer.headers['retry-after'] ?? '')) this.findings.add('503 without Retry-After', `${what}: ${answer.text}`);
      await rest(20);
      return undefined;
    }
    if (answer.status === 429 && what !== 'refresh') {
      // Guesses at a password whose change was in doubt slow the account down; a refresh never is.
      ++this.counts.refused;
      await rest(200);
      return undefined;
    }
    if (answer.status >= 500) {
      this.findings.add(`status ${answer.status}`, `${what}: ${answer.text}`);
      return undefined;
    }
    ++this.counts.ok;
    this.lastSuccess.set(server, performance.now());
    return answer;
  }

  start() {
    this.running = [
      ...Array.from({ length: this.plan.clients }, () => this.own()),
      ...Array.from({ length: this.plan.sharers }, () => this.share()),
    ];
  }
  async finish() {
    this.isOver = true;
    await Promise.all(this.running);
  }

  /** One person: an account, sessions, password changes, sign-outs. */
  async own() {
    while (!this.isOver) {
      const account = { email: newEmail('own'), password: newPassword(), older: [], maybe: [], sessions: [], isKnown: false };
      this.owners.push(account);
      await this.begin(account);
      for (let step = 0; !this.isOver && step < 60; ++step) {
        const live = account.sessions.filter(({ state }) => state === 'live');
        const dice = Math.random();
        if (live.length === 0 || (dice < 0.06 && live.length < 4)) await this.add(account);
        else if (dice < 0.10) await this.leave(account, pick(live));
        else if (dice < 0.13) await this.change(account, pick(live));
        else await this.rotate(pick(live));
      }
    }
  }

  async begin(account) {
    while (!this.isOver && !account.isKnown) {
      const answer = await this.attempt('sign-up', (server) => signUp(server, account.email, account.password));
      if (answer?.status === 200) {
        account.isKnown = true;
        account.id = answer.json.user.id;
        account.sessions.push(sessionOf(answer));
      } else if (answer?.status === 422) {
        // An earlier call had been carried out, its answer was lost.
        await this.add(account);
        account.isKnown = account.sessions.length > 0;
      } else if (answer) {
        this.findings.add(`sign-up answered ${answer.status}`, answer.text);
      }
    }
  }

  async add(account) {
    for (const password of [account.password, ...account.maybe]) {
      const answer = await this.attempt('sign-in', (server) => signIn(server, account.email, password));
      if (answer?.status === 200) {
        account.id ??= answer.json.user.id;
        if (account.id !== answer.json.user.id) this.findings.add('two accounts of one address', account.email);
        if (password !== account.password) account.older.push(account.password);
        account.password = password;
        account.maybe = [];
        account.sessions.push(sessionOf(answer));
        return;
      }
      if (!answer) return;
    }
    this.findings.add('an acknowledged password is refused', account.email);
  }

  async rotate(session) {
    const asked = performance.now();
    const answer = await this.attempt('refresh', (server) => refresh(server, session.token));
    if (!answer) session.lostAt ??= asked;
    if (answer?.status === 200) {
      if (session.state === 'live' && claimsOf(answer.json.access_token).session_id !== session.id) {
        this.findings.add('a refresh answered with another session', session.id);
      }
      Object.assign(session, { token: answer.json.refresh_token, access: answer.json.access_token, lostAt: undefined });
    } else if (answer && isTooLate(session, answer)) {
      session.state = 'lost';
    } else if (answer && session.state === 'live') {
      this.findings.add(`a live session was refused with ${answer.status}`, answer.text);
      session.state = 'lost';
    }
  }

  async leave(account, session) {
    const answer = await this.attempt('sign-out', (server) => logOut(server, session.access, 'local'));
    if (!answer) session.state = 'maybe';
    else if (answer.status === 204) session.state = 'ended';
    else this.findings.add(`sign-out answered ${answer.status}`, answer.text);
  }

  async change(account, session) {
    const next = newPassword();
    const answer = await this.attempt('password change',
      (server) => call(server, 'PUT', '/auth/v1/user', { token: session.access, body: { password: next } }));
    const others = account.sessions.filter((one) => one !== session);
    if (answer?.status === 200) {
      account.older.push(account.password, ...account.maybe);
      Object.assign(account, { password: next, maybe: [] });
      for (const one of others) one.state = 'ended';
    } else if (!answer) {
      account.maybe.push(next);
      for (const one of others) if (one.state === 'live') one.state = 'maybe';
    } else {
      this.findings.add(`password change answered ${answer.status}`, answer.text);
    }
  }

  /** Many want the same address at once: at most one account may come of it. */
  async share() {
    while (!this.isOver) {
      const inPlay = this.addresses.slice(0, 1 + Math.floor((this.sharedAnswers / this.plan.signUps) * this.addresses.length));
      const address = Math.random() < 0.5 ? inPlay.at(-1) : pick(inPlay);
      const answer = await this.attempt('shared sign-up', (server) => signUp(server, address.email, address.password));
      if (answer) ++this.sharedAnswers;
      if (answer?.status === 200) address.owners.add(answer.json.user.id);
      else if (answer && answer.status !== 422) this.findings.add(`shared sign-up answered ${answer.status}`, answer.text);
      // Hashing is dear; the rest of the load must get through as well.
      await rest(5);
    }
  }

  /** When nothing fails any more: is everything there that was acknowledged, and nothing that was ended? */
  async reconcile(cluster) {
    this.servers = this.servers.filter(Boolean);
    const sure = async (work) => {
      for (let i = 0; i < 200; ++i) {
        const answer = await work(pick(this.servers)).catch(() => undefined);
        if (answer && answer.status !== 503 && answer.status !== 429) return answer;
        await rest(answer?.status === 429 ? 500 : 50);
      }
      throw new Error('the servers do not answer although nothing fails any more');
    };
    const one = async (account) => {
      for (const session of account.sessions) {
        const answer = await sure((server) => refresh(server, session.token));
        if (session.state === 'live' && answer.status !== 200 && !isTooLate(session, answer)) this.findings.add('an acknowledged session is gone', answer.text);
        if (session.state === 'ended' && answer.status === 200) this.findings.add('an ended session lives', session.id);
        if (answer.status >= 500) this.findings.add(`status ${answer.status}`, answer.text);
      }
      if (!account.isKnown) return;
      let isIn = false;
      for (const password of [account.password, ...account.maybe]) {
        isIn ||= (await sure((server) => signIn(server, account.email, password))).status === 200;
      }
      if (!isIn) this.findings.add('an acknowledged account or password is gone', account.email);
      for (const password of account.older.slice(-1)) {
        const answer = await sure((server) => signIn(server, account.email, password));
        if (answer.status === 200) this.findings.add('a changed password still signs in', account.email);
      }
    };
    // Ten at a time: hashing is dear.
    const queue = [...this.owners];
    await Promise.all(Array.from({ length: 10 }, async () => {
      for (let next = queue.pop(); next; next = queue.pop()) await one(next);
    }));

    const none = async (what, text) => {
      const rows = await cluster.sql(text);
      if (rows.length > 0) this.findings.add(what, rows.slice(0, 3).join(' '));
    };
    await none('a claim without its account',
      'SELECT c.value FROM claims c LEFT JOIN accounts a ON a.id = c.account_id WHERE a.id IS NULL');
    await none('an account without its claim',
      "SELECT a.id FROM accounts a LEFT JOIN claims c ON c.kind = 'email' AND c.value = a.email AND c.account_id = a.id WHERE c.value IS NULL");
    await none('an address with two accounts', 'SELECT email FROM accounts GROUP BY email HAVING count(*) > 1');
    await none('an account without its identity', 'SELECT a.id FROM accounts a LEFT JOIN identities i ON i.account_id = a.id WHERE i.id IS NULL');
    const owners = new Map(await cluster.sql('SELECT email, id FROM accounts'));
    for (const { email, owners: acknowledged } of this.addresses) {
      if (acknowledged.size > 1) this.findings.add('an address was given away twice', email);
      for (const id of acknowledged) if (owners.get(email) !== id) this.findings.add('an acknowledged sign-up is gone', email);
    }
  }
}

function sessionOf(answer) {
  return { token: answer.json.refresh_token, access: answer.json.access_token,
    id: claimsOf(answer.json.access_token).session_id, state: 'live' };
}
