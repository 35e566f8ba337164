export { createEchoDesk } from './echo-desk.ts';
export { createLinkServer } from './link-server.ts';
export { createAcceptEvents } from './stream-events.ts';
