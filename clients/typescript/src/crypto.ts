/** Return WebCrypto, which Node.js 18 has only in a module. Every other runtime has it as a global. */
export async function webCrypto(): Promise<Crypto> {
  const found = globalThis.crypto as Crypto | undefined;
  if (found) return found;
  const name = 'node:crypto'; // not a literal, because bundlers for browsers would search for it
  const { webcrypto } = (await import(/* webpackIgnore: true */ /* @vite-ignore */ name)) as { webcrypto: Crypto };
  return webcrypto;
}
