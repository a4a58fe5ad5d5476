import { spawn } from 'node:child_process';
import { constants } from 'node:os';

const forwardedSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/**
 * Runs a command in the foreground, forwards signals to it, and waits until it ends.
 *
 * @returns its exit code; 128 plus the signal number if a signal ended it, as in shells
 */
export function run(file, args, options) {
  return new Promise((resolve) => {
    const child = spawn(file, args, { stdio: 'inherit', ...options });
    const forward = (signal) => child.kill(signal);
    for (const signal of forwardedSignals) process.on(signal, forward);
    const end = (code) => {
      for (const signal of forwardedSignals) process.off(signal, forward);
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
