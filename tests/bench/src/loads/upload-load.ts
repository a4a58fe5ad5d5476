/**
 * Uploads bodies of one size over keep-alive connections. The upstream responds with the number of
 * bytes.
 */
import { Agent, request } from 'node:http';

const options = JSON.parse(process.argv[2] ?? '') as UploadOptions;

export interface UploadOptions {
  readonly port: number;
  readonly path: string;
  /** Size of a body in bytes. */
  readonly size: number;
  readonly connections: number;
  readonly seconds: number;
}

export interface UploadResult {
  readonly uploads: number;
  readonly wrong: number;
  readonly bytesPerSecond: number;
  /** The most recent wrong response. */
  readonly fault: string;
}

const agent = new Agent({ keepAlive: true, maxSockets: options.connections });
const PIECE = Buffer.alloc(1024 * 1024, 'x');
const began = performance.now();
const end = began + options.seconds * 1000;
let uploads = 0;
let wrong = 0;
let fault = '';

await Promise.all(Array.from({ length: options.connections }, uploadUntilEnd));
const seconds = (performance.now() - began) / 1000;
const bytesPerSecond = ((uploads - wrong) * options.size) / seconds;
const result: UploadResult = { uploads, wrong, bytesPerSecond, fault };
process.stdout.write(JSON.stringify(result));
agent.destroy();

async function uploadUntilEnd(): Promise<void> {
  while (performance.now() < end) {
    uploads++;
    const answer = await upload();
    if (answer === String(options.size)) continue;
    wrong++;
    fault = answer;
  }
}

function upload(): Promise<string> {
  const { port, path, size } = options;
  return new Promise((resolve) => {
    const headers = { 'content-length': size };
    const sent = request({ host: '127.0.0.1', port, path, method: 'POST', agent, headers });
    sent.once('error', (error) => resolve(error.message));
    sent.once('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.once('close', () =>
        resolve(response.statusCode === 200 ? text : `${response.statusCode} ${text}`),
      );
    });
    let left = size;
    const write = () => {
      while (left > 0) {
        const piece = left < PIECE.length ? PIECE.subarray(0, left) : PIECE;
        left -= piece.length;
        if (!sent.write(piece)) return void sent.once('drain', write);
      }
      sent.end();
    };
    write();
  });
}
