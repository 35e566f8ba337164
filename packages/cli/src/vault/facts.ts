import { factsSchemas, type Item, type ItemType, PamError, type Part } from '@sallyport/protocol';
import type { z } from 'zod';

/** What is sealed of an item, by its type. */
export type FactsOf<Type extends ItemType> = z.infer<(typeof factsSchemas)[Type]>;

/** Facts as they were opened. PAM_SEAL_BROKEN when they are of a newer version. */
export function readFacts(item: Item, body: unknown): FactsOf<ItemType> {
  const parsed = factsSchemas[item.type].safeParse(body);
  if (parsed.success) return parsed.data;
  throw notUnderstood(item, 'facts', parsed.error);
}

/** Facts as the schema of their type fills and bounds them. PAM_USAGE naming the field. */
export function checkFacts<Type extends ItemType>(type: Type, facts: unknown): FactsOf<Type> {
  const parsed = factsSchemas[type].safeParse(facts);
  if (parsed.success) return parsed.data as FactsOf<Type>;
  const issue = parsed.error.issues[0];
  const field = issue?.path.join('.') ?? '';
  throw new PamError('PAM_USAGE', `${type}: ${field === '' ? '' : `${field}: `}${issue?.message ?? 'not understood'}`, {
    detail: { field },
    remedy: `See pam record template ${type}.`,
  });
}

/** What was opened is none of the forms known here. */
export function notUnderstood(item: Item, part: Part, error: z.ZodError): PamError {
  const field = error.issues[0]?.path.join('.') ?? '';
  return new PamError('PAM_SEAL_BROKEN', `the ${part} of ${item.uid} are not understood (${field})`, {
    cause: error,
    remedy: 'They were written by a newer version of the program: upgrade this one.',
  });
}
