import { type Document, deserialize, serialize } from 'bson';

/** Head of every message (length, id, id of the request, code), then flags and the kind of the one section. */
const headBytes = 16;
const fixedBytes = headBytes + 5;
const smallestDocument = 5;
/** Nothing that we ask for is longer. */
const longestMessage = 256 * 1024;
const opMessage = 2_013;
const bodySection = 0;

/** A command as one OP_MSG with one section. @see MongoDB Wire Protocol. */
export function writeMessage(id: number, command: Document): Buffer {
  const body = serialize(command);
  const fixed = Buffer.alloc(fixedBytes);
  fixed.writeInt32LE(fixedBytes + body.byteLength, 0);
  fixed.writeInt32LE(id, 4);
  fixed.writeInt32LE(opMessage, 12);
  fixed.writeUInt8(bodySection, fixedBytes - 1);
  return Buffer.concat([fixed, body]);
}

export type ReadMessage =
  | { readonly kind: 'incomplete'; readonly needs: number }
  | { readonly kind: 'broken'; readonly why: string }
  | { readonly kind: 'message'; readonly length: number; readonly to: number; readonly document: Document };

/**
 * Reads the first message of `bytes`. The head is judged as soon as it is there, before any of the body is waited for. An
 * answer has no flags: nothing was asked for that sets one (a checksum, more than one answer).
 */
export function readMessage(bytes: Buffer): ReadMessage {
  if (bytes.byteLength < fixedBytes) return { kind: 'incomplete', needs: fixedBytes };
  const length = bytes.readUInt32LE(0);
  if (length < fixedBytes + smallestDocument || length > longestMessage || bytes.readUInt32LE(12) !== opMessage)
    return { kind: 'broken', why: 'something that is no answer of MongoDB' };
  if (bytes.readUInt32LE(headBytes) !== 0 || bytes[fixedBytes - 1] !== bodySection)
    return { kind: 'broken', why: 'an answer of a form that was not asked for' };
  if (bytes.byteLength < length) return { kind: 'incomplete', needs: length };
  try {
    const document = deserialize(bytes.subarray(fixedBytes, length), { promoteBuffers: true });
    return { kind: 'message', length, to: bytes.readUInt32LE(8), document };
  } catch {
    return { kind: 'broken', why: 'a document that is none' };
  }
}
