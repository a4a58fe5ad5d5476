/**
 * Requests at a fixed rate, sent when they are due and not when an answer is in (an open loop):
 * each millisecond's share goes out at once, over kept connections, a new one where all are busy.
 * Latency counts from when a request was handed to the socket.
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';

const options = JSON.parse(process.argv[2] ?? '') as RateOptions;

export interface RateOptions {
  readonly port: number;
  readonly paths: readonly string[];
  /** Requests a second. */
  readonly rate: number;
  readonly seconds: number;
}

export interface RateResult {
  readonly sent: number;
  readonly answered: number;
  readonly wrong: number;
  readonly connections: number;
  /** Microseconds; the first half second, in which connections are made, is left out. */
  readonly p50: number;
  readonly p99: number;
  /** How late the 99th of 100 requests was sent, microseconds. */
  readonly late: number;
  /** Of every request that counts, microseconds, in ascending order. */
  readonly latencies: readonly number[];
}

interface Lane {
  readonly socket: Socket;
  sentAt: number;
  isCounted: boolean;
  number: string;
  text: string;
}

const WARM_UP = 500;
const LENGTH = 1024;
const idle: Lane[] = [];
const lanes: Lane[] = [];
const latencies: number[] = [];
const lateness: number[] = [];
let sent = 0;
let answered = 0;
let wrong = 0;

const total = options.rate * options.seconds;
const began = performance.now();
const timer = setInterval(() => {
  const due = Math.min(total, Math.floor(((performance.now() - began) * options.rate) / 1000));
  while (sent < due) send();
  if (sent < total) return;
  clearInterval(timer);
  setTimeout(finish, 200);
}, 1);

function send(): void {
  const path = options.paths[sent % options.paths.length] ?? '/';
  const lane = idle.pop() ?? openLane();
  lane.number = path.slice(-3);
  lane.text = '';
  lane.sentAt = performance.now();
  lane.isCounted = lane.sentAt - began > WARM_UP;
  if (lane.isCounted) lateness.push(lane.sentAt - began - (sent * 1000) / options.rate);
  sent++;
  lane.socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
}

function openLane(): Lane {
  const socket = connect(options.port, '127.0.0.1').setNoDelay(true).setEncoding('latin1');
  const lane: Lane = { socket, sentAt: 0, isCounted: false, number: '', text: '' };
  socket.on('data', (data) => onData(lane, String(data)));
  socket.on('error', () => wrong++);
  lanes.push(lane);
  return lane;
}

function onData(lane: Lane, data: string): void {
  lane.text += data;
  const body = lane.text.indexOf('\r\n\r\n') + 4;
  if (body < 4 || lane.text.length < body + LENGTH) return;
  if (lane.isCounted) latencies.push(performance.now() - lane.sentAt);
  answered++;
  const right = `${lane.number} ${lane.number} `;
  if (!lane.text.startsWith('HTTP/1.1 200 ') || !lane.text.startsWith(right, body)) wrong++;
  idle.push(lane);
}

function finish(): void {
  const result: RateResult = {
    sent,
    answered,
    wrong,
    connections: lanes.length,
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
    late: percentile(lateness, 0.99),
    latencies: latencies.map((latency) => Math.round(1000 * latency)),
  };
  process.stdout.write(JSON.stringify(result));
  for (const { socket } of lanes) socket.destroy();
}

function percentile(values: number[], share: number): number {
  values.sort((a, b) => a - b);
  return Math.round(1000 * (values[Math.floor(share * values.length)] ?? Number.NaN));
}
