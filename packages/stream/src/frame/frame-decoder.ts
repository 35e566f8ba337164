import { PamError } from '@sallyport/protocol';
import { checkHeader, decodePayload } from './decode-payload.ts';
import { type Frame, type FrameKind, frameLimits } from './frame.ts';

/**
 * Decodes frames from chunks cut anywhere. Pure but for what it keeps between chunks: at most one control payload
 * (16 KiB), never any DATA: DATA is passed on as it comes, as views of the chunk given.
 *
 * Sizes are checked as soon as the header is whole, before anything is kept. After the first error it only refuses.
 */
export class FrameDecoder {
  #header = 0;
  #headerBytes = 0;
  #kind: FrameKind | null = null;
  #left = 0;
  #payload: Uint8Array | null = null;
  #dead = false;

  /**
   * @param onFrame - called in order for every whole frame and every piece of DATA.
   * @throws PAM_STREAM_PROTOCOL on a frame that version 1 does not know; what came before it was passed on.
   */
  push(chunk: Uint8Array, onFrame: (frame: Frame) => void): void {
    if (this.#dead) throw new PamError('PAM_STREAM_PROTOCOL', 'the stream was broken earlier');
    this.#dead = true;
    for (let at = 0; at < chunk.length; ) {
      at = this.#kind === null ? this.#readHeader(chunk, at, onFrame) : this.#readPayload(chunk, at, onFrame);
    }
    this.#dead = false;
  }

  #readHeader(chunk: Uint8Array, start: number, onFrame: (frame: Frame) => void): number {
    let at = start;
    while (at < chunk.length && this.#headerBytes < frameLimits.header) {
      this.#header = this.#header * 256 + (chunk[at] ?? 0);
      this.#headerBytes++;
      at++;
    }
    if (this.#headerBytes < frameLimits.header) return at;
    const length = this.#header % 16_777_216;
    const kind = checkHeader((this.#header - length) / 16_777_216, length);
    this.#header = 0;
    this.#headerBytes = 0;
    if (length === 0 && kind !== 'data') {
      onFrame(decodePayload(kind, new Uint8Array(0)));
      return at;
    }
    this.#kind = kind;
    this.#left = length;
    return at;
  }

  #readPayload(chunk: Uint8Array, at: number, onFrame: (frame: Frame) => void): number {
    const piece = chunk.subarray(at, at + this.#left);
    this.#left -= piece.length;
    const kind = this.#kind;
    if (this.#left === 0) this.#kind = null;
    if (kind === 'data') onFrame({ kind, bytes: piece });
    else if (kind !== null) this.#keep(kind, piece, onFrame);
    return at + piece.length;
  }

  #keep(kind: Exclude<FrameKind, 'data'>, piece: Uint8Array, onFrame: (frame: Frame) => void): void {
    this.#payload ??= new Uint8Array(piece.length + this.#left);
    this.#payload.set(piece, this.#payload.length - this.#left - piece.length);
    if (this.#left > 0) return;
    const payload = this.#payload;
    this.#payload = null;
    onFrame(decodePayload(kind, payload));
  }
}
