import { Agent, request } from 'node:http';

/** Summary of a series of measurements in milliseconds. */
export interface Summary {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export function summarize(times: readonly number[]): Summary {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number) =>
    round(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN);
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) };
}

/** Formats one line per summary, in milliseconds. */
export function table(rows: Readonly<Record<string, Summary>>): string {
  const lines = [['ms', 'p50', 'p99', 'max', 'count']];
  for (const [name, { p50, p99, max, count }] of Object.entries(rows)) {
    lines.push([name, p50.toFixed(2), p99.toFixed(2), max.toFixed(2), String(count)]);
  }
  const shown = lines.map(([name = '', ...cells]) => {
    return name.padEnd(42) + cells.map((cell) => cell.padStart(10)).join('');
  });
  return `${shown.join('\n')}\n`;
}

export function round(value: number): number {
  return Math.round(value * 100) / 100;
}

const agent = new Agent({ keepAlive: true });

export interface Asked {
  readonly status: number;
  readonly text: string;
  /** Arrival of the first byte of the body, on the monotonic clock. */
  readonly firstByteAt: number;
}

/** Sends one request over a keep-alive connection, and records the arrival of the first byte. */
export function ask(
  url: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Asked> {
  const { method = 'GET', headers = {}, body } = options;
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers, agent }, (response) => {
      let firstByteAt = 0;
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        firstByteAt ||= performance.now();
        text += chunk;
      });
      response.once('error', reject);
      response.once('end', () => resolve({ status: response.statusCode ?? 0, text, firstByteAt }));
    });
    sent.once('error', reject);
    sent.end(body);
  });
}
