/**
 * NODE_OPTIONS that plant an instance's key: the first signing key that the process draws is that of `file` when there is
 * one, and is written there when there is none. Two processes with one file are a machine and its clone, made while it
 * ran: no instance key is ever written by us, so that a copied disk is no clone.
 */
export function clonedKeyOptions(file: string): string {
  const source = `
    import { readFileSync, writeFileSync, existsSync } from 'node:fs';
    const file = ${JSON.stringify(file)};
    const { subtle } = globalThis.crypto;
    const generate = subtle.generateKey.bind(subtle);
    let drawn = false;
    subtle.generateKey = async (algorithm, extractable, usages) => {
      if (drawn || algorithm.name !== 'ECDSA') return generate(algorithm, extractable, usages);
      drawn = true;
      if (existsSync(file)) {
        const { d, ...half } = JSON.parse(readFileSync(file, 'utf8'));
        const privateKey = await subtle.importKey('jwk', { ...half, d }, algorithm, extractable, ['sign']);
        return { privateKey, publicKey: await subtle.importKey('jwk', half, algorithm, true, ['verify']) };
      }
      // An id that begins with a letter, as the program itself wants it: then it draws once.
      for (;;) {
        const pair = await generate(algorithm, true, usages);
        const { kty, crv, x, y, d } = await subtle.exportKey('jwk', pair.privateKey);
        const text = JSON.stringify({ crv, kty, x, y });
        const hash = new Uint8Array(await subtle.digest('SHA-256', new TextEncoder().encode(text)));
        if (hash[0] >> 2 > 51) continue;
        writeFileSync(file, JSON.stringify({ kty, crv, x, y, d }), { mode: 0o600 });
        return pair;
      }
    };`;
  return `--import=data:text/javascript,${encodeURIComponent(source)}`;
}
