export { createEchoDesk, type EchoDesk } from './echo-desk.ts';
export { createLinkServer, type LinkServer } from './link-server.ts';
export { createAcceptEvents } from './stream-events.ts';
