// The packages list symbolic links, which npm cannot carry, in native/pg-symlinks.json: makes them in FOLDER.
import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';

const folder = process.argv[2];
for (const { source, target } of JSON.parse(readFileSync(join(folder, 'native/pg-symlinks.json'), 'utf8'))) {
  const link = join(folder, target);
  if (!existsSync(link)) symlinkSync(join(relative(dirname(target), dirname(source)), basename(source)), link);
}
