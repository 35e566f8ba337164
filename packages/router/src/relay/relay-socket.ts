import { Socket, type SocketConstructorOpts } from 'node:net';
import { legLimits, PamError } from '@sallyport/protocol';

/**
 * An accepted socket that reads into one buffer of its own, used again and again, and stops reading at the kernel at
 * once when told. Two reasons, both measured (docs/notes/data-plane-profile.md): a fresh 64 KiB buffer per read makes
 * every copy miss the cache, and `socket.pause()` lets the handle read on, up to 2 MiB a turn, so that bytes would be
 * lost when the socket is handed to another process.
 *
 * Node offers this as `onread`, for sockets one dials; accepted ones ignore it. So the handle of the accepted socket is
 * put into a socket made with `onread`, as Node itself does with sockets received from another process.
 */
export interface RelaySocket {
  readonly socket: Socket;
  /**
   * Gets every read; the bytes are only good during the call. `false` stops reading until `read()`. Set it anew at any
   * time.
   */
  onBytes: (bytes: Uint8Array) => boolean;
  /** Reads on. */
  read(): void;
  /** Stops reading at once, outside of `onBytes`. */
  stop(): void;
  /** From the next read but one, take up to 64 KiB at a time. */
  useLargeReads(): void;
}

/** Enough for a preamble or the first half of a TLS hello; 512 strangers cost 1 MiB. */
const smallReadBytes = 2_048;

/**
 * Takes over an accepted socket that was not read yet (`pauseOnConnect`). The accepted object is dead afterwards.
 *
 * @throws PAM_INTERNAL when this Node version does not work like that.
 */
export function takeOver(accepted: Socket): RelaySocket {
  const holder = accepted as unknown as { _handle?: { reading?: boolean; readStop?: () => void } | null };
  const handle = holder._handle;
  if (!handle || handle.reading === true) {
    throw new PamError('PAM_INTERNAL', 'this Node version does not give away the handle of an accepted socket');
  }
  holder._handle = null;
  let buffer = Buffer.allocUnsafeSlow(smallReadBytes);
  const options = {
    handle,
    allowHalfOpen: true,
    onread: {
      buffer: () => buffer,
      callback: (length: number, bytes: Uint8Array) => relaySocket.onBytes(bytes.subarray(0, length)),
    },
    manualStart: true,
  };
  const socket = new Socket(options as unknown as SocketConstructorOpts);
  const relaySocket: RelaySocket = {
    socket,
    onBytes: () => false,
    read: () => void socket.resume(),
    stop() {
      handle.reading = false;
      handle.readStop?.();
    },
    useLargeReads() {
      if (buffer.length < legLimits.bytesPerTurn) buffer = Buffer.allocUnsafeSlow(legLimits.bytesPerTurn);
    },
  };
  return relaySocket;
}
