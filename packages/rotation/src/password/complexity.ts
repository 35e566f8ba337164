import { type Complexity, complexitySchema, defaultComplexity, PamError } from '@sallyport/protocol';

/**
 * `len,upper,lower,digits,symbols[,SPECIALS]`, as in `32,5,5,5,5,-_.`: the length, least numbers of each class, and which
 * symbols may be used. With 0 of a class it may still occur, except symbols: 0 means none.
 *
 * @throws PamError PAM_USAGE.
 */
export function parseComplexity(text: string): Complexity {
  const [length, upper, lower, digits, symbols, ...rest] = text.split(',');
  // SPECIALS may contain the comma itself.
  const specials = rest.length === 0 ? defaultComplexity.specials : rest.join(',');
  const parsed = complexitySchema.safeParse({
    ...{ length: count(length), upper: count(upper), lower: count(lower), digits: count(digits) },
    ...{ symbols: count(symbols), specials: [...new Set(specials)].join('') },
  });
  if (!parsed.success || (parsed.data.symbols > 0 && parsed.data.specials === '')) {
    throw new PamError('PAM_USAGE', `complexity is len,upper,lower,digits,symbols[,SPECIALS], not "${text}"`);
  }
  return parsed.data;
}

export function formatComplexity({ length, upper, lower, digits, symbols, specials }: Complexity): string {
  const counts = [length, upper, lower, digits, symbols].join(',');
  return specials === defaultComplexity.specials ? counts : `${counts},${specials}`;
}

function count(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,3}$/.test(text.trim()) ? Number(text) : undefined;
}
