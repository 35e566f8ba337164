export type { StreamEffect, StreamEvent, StreamFault, StreamState, StreamStep } from './flow/flow-state.ts';
export { ackWithinMs, newStreamState, resumeTimes } from './flow/flow-state.ts';
export { stepStream } from './flow/step-stream.ts';
export { encodeFrame, frameHeader } from './frame/encode-frame.ts';
export type { Frame, FrameKind, GoneCode, ResetCode } from './frame/frame.ts';
export { frameLimits, frameType, goneCode, resetCode } from './frame/frame.ts';
export { FrameDecoder } from './frame/frame-decoder.ts';
export type { BoundLeg, LegOptions, ParkedLeg } from './leg/connect-leg.ts';
export { connectLeg, echoLeg, parkLeg } from './leg/connect-leg.ts';
export { decodeTicket } from './leg/ticket.ts';
export type { ClientOpening, ClientStreamOptions, OpenedStream, Resuming } from './opening/open-client-stream.ts';
export { openClientStream } from './opening/open-client-stream.ts';
export type { ResumeOptions } from './opening/resume-client-stream.ts';
export { resumeClientStream } from './opening/resume-client-stream.ts';
export type { DialResult, InstanceStreamOptions } from './opening/run-instance-stream.ts';
export { runInstanceStream } from './opening/run-instance-stream.ts';
export type { ServeResumeOptions } from './opening/serve-resume.ts';
export { serveResume } from './opening/serve-resume.ts';
export { connectLocal } from './run/local-scratch.ts';
export { dialRouter } from './reach/dial-router.ts';
export type { CarrierChoice, LegCarrier } from './reach/leg-carrier.ts';
export { carrierChoices, createLegCarrier, plainCarrier } from './reach/leg-carrier.ts';
export { legOverWebSocket } from './reach/websocket-leg.ts';
export type { Reach } from './reach/reach.ts';
export { directReach, proxyFor, readReach } from './reach/reach.ts';
export type {
  AttachmentChange,
  DetachedStream,
  Reattach,
  Reattached,
  RunningSplice,
  StreamDoor,
  StreamOutcome,
} from './run/splice.ts';
export type { StopReason } from './run/stop-reason.ts';
export { readStop } from './run/stop-reason.ts';
export type { Timers } from './run/system-timers.ts';
export { systemTimers } from './run/system-timers.ts';
export { certificateThumbprint, createStreamContext, streamProtocol } from './tls/stream-context.ts';
