import { PamError, ticketBytes } from '@sallyport/protocol';

/** Reads a ticket from its text form, 43 characters of base64url. Throws PAM_BAD_REQUEST. */
export function decodeTicket(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64url');
  if (text.length !== 43 || bytes.length !== ticketBytes) {
    throw new PamError('PAM_BAD_REQUEST', 'a ticket is 43 characters of base64url');
  }
  return bytes;
}
