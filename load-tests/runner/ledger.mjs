// Compares the sessions table with what the clients were told, both ways.
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { run } from './index.mjs';

/**
 * {told, missing, differing, wrongly_open, unknown, differences}
 * @param doubtful  the sessions that may be there without anybody knowing: clients whose answer was lost, or who were told
 *                  that it was. Whoever was told that nothing was done accounts for none.
 */
export async function compareLedgers(stage, crowd, doubtful) {
  const script = ['CREATE TEMP TABLE told (session uuid PRIMARY KEY, account uuid, generation int, hash text, has_ended boolean);',
    ...crowd.members.map(({ ledger }) => `\\copy told FROM '${ledger}' CSV`), `SELECT count(*),
  count(*) FILTER (WHERE s.id IS NULL),
  count(*) FILTER (WHERE s.generation <> t.generation OR encode(s.refresh_token, 'hex') <> t.hash),
  count(*) FILTER (WHERE t.has_ended <> (s.revoked_at IS NOT NULL)),
  (SELECT count(*) FROM sessions AS open WHERE open.revoked_at IS NULL AND NOT EXISTS (SELECT 1 FROM told WHERE told.session = open.id))
FROM told AS t LEFT JOIN sessions AS s ON s.id = t.session AND s.account_id = t.account;`].join('\n');
  const file = join(stage.root, 'compare.sql');
  writeFileSync(file, script);
  chmodSync(file, 0o644);
  const text = await run('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-h', stage.sockets, '-p', '5432', '-U', 'postgres', '-f', file, 'pam']);
  const [told, missing, differing, wronglyOpen, unknown] = text.trim().split('|').map(Number);
  const differences = missing + differing + wronglyOpen + Math.max(0, unknown - doubtful);
  return { told, missing, differing, wrong_end: wronglyOpen, unknown, differences };
}
