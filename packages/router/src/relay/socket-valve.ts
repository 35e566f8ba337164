import type { Socket } from 'node:net';
import { PamError } from '@sallyport/protocol';

/**
 * Stops and starts reading at the kernel, at once.
 *
 * `socket.pause()` is not enough here: the handle goes on reading into the stream's buffer, so that bytes would be lost
 * when a socket is handed to another process, and a turn could read 2 MiB (libuv repeats a full read 32 times). The
 * stream stays in flowing mode and `_handle.reading` stays true, or Node would start the handle again by itself.
 *
 * @see docs/adr/0003-data-plane.md for why Node's handle is used and what is checked instead of assumed
 */
export interface SocketValve {
  close(): void;
  open(): void;
}

interface ReadableHandle {
  readStop(): number;
  readStart(): number;
}

export function valveOf(socket: Socket): SocketValve {
  const { _handle: handle } = socket as unknown as { readonly _handle?: ReadableHandle | null };
  if (!handle || typeof handle.readStop !== 'function' || typeof handle.readStart !== 'function') {
    throw new PamError('PAM_INTERNAL', 'this Node version does not let the relay stop reading a socket');
  }
  let isOpen = true;
  return {
    close() {
      if (isOpen && !socket.destroyed) handle.readStop();
      isOpen = false;
    },
    open() {
      if (!isOpen && !socket.destroyed) handle.readStart();
      isOpen = true;
    },
  };
}
