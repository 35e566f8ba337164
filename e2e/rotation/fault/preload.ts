/**
 * Loaded into an instance by `NODE_OPTIONS=--import`, by tests only: looks at what goes over the control link in clear and
 * stops processes at one exact call. The product has no hook for it: the WebSocket library is wrapped from outside.
 */
import { WebSocket } from 'ws';
import { type Call, calls, type FaultPoint, pointVariable, takePoint } from './fault-point.ts';

const file = process.env[pointVariable];
/** A call of a run, and of which. */
interface JobCall {
  readonly call: Call;
  readonly job: string;
}
/** Calls that wait for their answer, by link and number. */
const open = new WeakMap<object, Map<number, JobCall>>();

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { readonly what?: { readonly kind?: string }; readonly act?: string; readonly job?: string };
}

function read(data: unknown): Message | null {
  const text = typeof data === 'string' ? data : Buffer.isBuffer(data) ? data.toString('utf8') : '';
  try {
    return text.startsWith('{') ? (JSON.parse(text) as Message) : null;
  } catch {
    return null;
  }
}

function callOf({ method, params }: Message): JobCall | null {
  const name = method === 'job.report' ? params?.what?.kind : method;
  // A login that is given back is no step of its own.
  if (name === 'job.login' && params?.act !== 'take') return null;
  const call = calls.find((one) => one === name);
  return call === undefined ? null : { call, job: params?.job ?? '' };
}

/** Nothing after this runs when the point is this process's own end. */
function come({ call, job }: JobCall, side: FaultPoint['side']): void {
  const point = file === undefined ? null : takePoint(file, { call, side, job, pid: process.pid });
  if (point === null) return;
  for (const { pid, signal } of point.signals) end(pid, signal);
  if (point.self !== null) process.kill(process.pid, point.self);
}

function end(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended meanwhile: a server's child that served one connection.
  }
}

const { send, emit } = WebSocket.prototype;
WebSocket.prototype.send = function (this: WebSocket, ...args: Parameters<typeof send>) {
  const message = read(args[0]);
  const call = message === null ? null : callOf(message);
  if (call !== null) {
    if (message?.id !== undefined) {
      const mine = open.get(this) ?? new Map<number, JobCall>();
      open.set(this, mine.set(message.id, call));
    }
    come(call, 'before');
  }
  Reflect.apply(send, this, args);
} as typeof send;
WebSocket.prototype.emit = function (this: WebSocket, ...args: Parameters<typeof emit>) {
  if (args[0] === 'message') {
    const message = read(args[1]);
    const call =
      message?.id === undefined || message.method !== undefined ? undefined : open.get(this)?.get(message.id);
    if (call !== undefined && message?.id !== undefined) {
      open.get(this)?.delete(message.id);
      come(call, 'after');
    }
  }
  return Reflect.apply(emit, this, args);
} as typeof emit;
