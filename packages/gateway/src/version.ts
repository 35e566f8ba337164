/** Version of this program; `scripts/build.ts` and the packages carry the same. */
export const version = '0.1.0';
