export { GuardedStream } from './guarded-stream.ts';
export { notOpened } from './not-opened.ts';
export { secretsOf, serverWords } from './server-words.ts';
export { timedWork } from './timed-work.ts';
export { identifyServer, openTls } from './tls-socket.ts';
