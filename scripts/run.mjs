import { spawn } from 'node:child_process';
import { constants } from 'node:os';

const passedOn = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/**
 * Runs a command in the foreground, hands on the signals that arrive here, and waits for its end.
 *
 * @returns its exit code; 128 and more where a signal ended it, as shells have it
 */
export function run(file, args, options) {
  return new Promise((resolve) => {
    const child = spawn(file, args, { stdio: 'inherit', ...options });
    const handOn = (signal) => child.kill(signal);
    for (const signal of passedOn) process.on(signal, handOn);
    const end = (code) => {
      for (const signal of passedOn) process.off(signal, handOn);
      resolve(code);
    };
    child.once('error', (error) => {
      console.error(`${file}: ${error.message}`);
      end(1);
    });
    child.once('exit', (code, signal) =>
      end(signal === null ? code : 128 + constants.signals[signal]),
    );
  });
}
