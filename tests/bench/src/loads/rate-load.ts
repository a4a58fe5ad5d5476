/**
 * Sends requests at a fixed rate without waiting for responses (an open loop). The requests due in
 * each millisecond are sent at once over idle keep-alive connections, or over new ones. Latency is
 * measured from the write to the socket.
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';

const options = JSON.parse(process.argv[2] ?? '') as RateOptions;

export interface RateOptions {
  readonly port: number;
  readonly paths: readonly string[];
  /** Requests per second. */
  readonly rate: number;
  readonly seconds: number;
}

export interface RateResult {
  readonly sent: number;
  readonly answered: number;
  readonly wrong: number;
  readonly connections: number;
  /** Microseconds. Excludes the first half second, in which connections are opened. */
  readonly p50: number;
  readonly p99: number;
  /** 99th percentile of the delay between the due time and the send time, microseconds. */
  readonly late: number;
  /** Latency of every counted request, microseconds, in ascending order. */
  readonly latencies: readonly number[];
}

interface Connection {
  readonly socket: Socket;
  sentAt: number;
  isCounted: boolean;
  number: string;
  text: string;
}

const WARM_UP = 500;
const LENGTH = 1024;
const idle: Connection[] = [];
const connections: Connection[] = [];
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
  const connection = idle.pop() ?? openConnection();
  connection.number = path.slice(-3);
  connection.text = '';
  connection.sentAt = performance.now();
  connection.isCounted = connection.sentAt - began > WARM_UP;
  if (connection.isCounted) lateness.push(connection.sentAt - began - (sent * 1000) / options.rate);
  sent++;
  connection.socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
}

function openConnection(): Connection {
  const socket = connect(options.port, '127.0.0.1').setNoDelay(true).setEncoding('latin1');
  const connection: Connection = { socket, sentAt: 0, isCounted: false, number: '', text: '' };
  socket.on('data', (data) => onData(connection, String(data)));
  socket.on('error', () => wrong++);
  connections.push(connection);
  return connection;
}

function onData(connection: Connection, data: string): void {
  connection.text += data;
  const body = connection.text.indexOf('\r\n\r\n') + 4;
  if (body < 4 || connection.text.length < body + LENGTH) return;
  if (connection.isCounted) latencies.push(performance.now() - connection.sentAt);
  answered++;
  const right = `${connection.number} ${connection.number} `;
  if (!connection.text.startsWith('HTTP/1.1 200 ') || !connection.text.startsWith(right, body))
    wrong++;
  idle.push(connection);
}

function finish(): void {
  const result: RateResult = {
    sent,
    answered,
    wrong,
    connections: connections.length,
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
    late: percentile(lateness, 0.99),
    latencies: latencies.map((latency) => Math.round(1000 * latency)),
  };
  process.stdout.write(JSON.stringify(result));
  for (const { socket } of connections) socket.destroy();
}

function percentile(values: number[], share: number): number {
  values.sort((a, b) => a - b);
  return Math.round(1000 * (values[Math.floor(share * values.length)] ?? Number.NaN));
}
