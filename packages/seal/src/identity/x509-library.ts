type X509 = typeof import('@peculiar/x509');

let loaded: Promise<X509> | undefined;

/** Loads @peculiar/x509 once, when first needed: it costs 120 ms, and needs reflect-metadata before it (proven.md 3). */
export function loadX509(): Promise<X509> {
  loaded ??= (async () => {
    await import('reflect-metadata');
    return import('@peculiar/x509');
  })();
  return loaded;
}
