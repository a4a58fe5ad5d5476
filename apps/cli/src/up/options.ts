import { BootError } from '@ephemera/domain';

import { readArguments } from '../read-arguments.ts';

export interface UpOptions {
  /** Leave the instances to their kill jobs at the end. */
  readonly keep: boolean;
  readonly proxies: number;
  readonly workers: number;
}

/** @throws BootError on what is no option of `up` */
export function readUpOptions(args: string[]): UpOptions {
  const { values } = readArguments({
    args,
    options: {
      keep: { type: 'boolean', default: false },
      proxies: { type: 'string', default: '2' },
      workers: { type: 'string', default: '1' },
    },
  });
  return {
    keep: values.keep,
    proxies: readCount('--proxies', values.proxies),
    workers: readCount('--workers', values.workers),
  };
}

function readCount(name: string, text: string): number {
  if (/^[1-9]\d?$/.test(text)) return Number(text);
  throw new BootError(`${name} is "${text}"; it must be a number from 1 to 99.`);
}
