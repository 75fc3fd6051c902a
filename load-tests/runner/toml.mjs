// The subset of TOML that targets.toml uses: tables, numbers, strings, booleans, comments.

/** Parses to {table: {key: value, subtable: {...}}}; throws with the line that is not understood. */
export function parseToml(text) {
  const root = {};
  let table = root;
  for (const [number, raw] of text.split('\n').entries()) {
    const line = raw.replace(/#.*$/, '').trim();
    if (line === '') continue;
    const header = /^\[([\w.-]+)\]$/.exec(line);
    if (header) {
      table = root;
      for (const name of header[1].split('.')) table = table[name] ??= {};
      continue;
    }
    const pair = /^([\w-]+)\s*=\s*(.+)$/.exec(line);
    if (!pair) throw new Error(`line ${number + 1} is not understood: ${raw}`);
    table[pair[1]] = JSON.parse(pair[2]);
  }
  return root;
}
