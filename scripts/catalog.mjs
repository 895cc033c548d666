/**
 * Builds a package's catalog with the relay's Python, from the package's folder: `node ../scripts/catalog.mjs FILE`.
 *
 * Without `.venv` at the root, `make` sets it up first, which takes a minute.
 */

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { dirname, join } from 'node:path';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const ready = join(root, '.venv', '.run'); // the Makefile's: what the relay needs is installed

function run(program, ...args) {
	return spawnSync(program, args, { stdio: 'inherit' }).status === 0;
}

function fail(reason) {
	console.error(`The catalog is built by the relay, which needs Python 3.11 or later and make: ${reason}`);
	process.exit(1);
}

if (!existsSync(ready) && !run('make', '--no-print-directory', '-C', root, '.venv/.run')) {
	fail(`make could not set up ${join(root, '.venv')}. Run "make setup" in ${root} and try again.`);
}
if (!run(join(root, '.venv', 'bin', 'python'), join(root, 'scripts', 'catalog'), ...process.argv.slice(2))) {
	fail(`scripts/catalog failed. Run "make setup" in ${root} and try again.`);
}
