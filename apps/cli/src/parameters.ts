import {
  BootError,
  isId,
  isImageReference,
  landingPathIssue,
  parseDuration,
} from '@ephemera/domain';

import { UsageError, type CliContext } from './context.ts';

/**
 * A parser of durations such as `90s` or `30m`. It returns whole seconds.
 *
 * @param option for the message, such as `--timeout`
 */
export function parseSeconds(option: string): (text: string) => number {
  return (text) => {
    const ms = parseDuration(text);
    if (ms !== undefined && ms >= 1000 && ms % 1000 === 0) return ms / 1000;
    throw new Error(`${option} is "${text}"; it must be a duration such as 90s, 30m, 2h.`);
  };
}

/** A parser of whole numbers in decimal digits, from `min` to `max` inclusive. */
export function parseInteger(option: string, min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^(?:0|[1-9]\d{0,14})$/.test(text) && value >= min && value <= max) return value;
    throw new Error(`${option} is "${text}"; it must be a number from ${min} to ${max}.`);
  };
}

const parseText = (text: string): string => text;

/**
 * Returns the id of the instance that a user has named by the first characters of it.
 * @throws BootError if no live instance, or more than one, has an id that begins so
 */
export async function fullId(context: CliContext, text: string): Promise<string> {
  const [id = text] = await fullIds(context, [text]);
  return id;
}

/**
 * `fullId` of several instances, in the same order. Reads the list at most once.
 * @throws BootError as `fullId`
 */
export async function fullIds(context: CliContext, texts: readonly string[]): Promise<string[]> {
  // Every id begins with an empty text, such as that of a variable that is not set.
  if (texts.includes('')) throw new UsageError('The id is empty.');
  // An ended instance is not in the list, so its id must be complete.
  if (texts.every(isId)) return [...texts];
  const instances = await context.api().list();
  const ids = instances.map(({ id }) => id);
  return texts.map((text) => (isId(text) ? text : onlyMatch(ids, text)));
}

function onlyMatch(ids: readonly string[], text: string): string {
  const matches = ids.filter((id) => id.startsWith(text));
  const [only, ...others] = matches;
  if (only !== undefined && others.length === 0) return only;
  throw new BootError(
    only === undefined
      ? `No live instance has an id that begins with "${text}". "ephemera ls" lists them. The id of an ended instance must be complete.`
      : `${matches.length} instances have an id that begins with "${text}": ${matches.slice(0, SHOWN).join(', ')}${matches.length > SHOWN ? ', …' : ''}. Give more of it.`,
  );
}

/** How many ids a message lists. */
const SHOWN = 5;

/** The id of an instance, or its first characters. Shells complete it from the control API. */
export const idParameter = {
  brief: 'Id of the instance, or its first characters',
  placeholder: 'id',
  parse: parseText,
  async proposeCompletions(this: CliContext, partial: string): Promise<string[]> {
    const instances = await this.api().list();
    return instances.map(({ id }) => id).filter((id) => id.startsWith(partial));
  },
};

/** The name of a template. Shells complete it from the control API. */
export const templateParameter = {
  brief: 'Name of the template; the default template where absent',
  placeholder: 'template',
  parse: parseText,
  optional: true,
  async proposeCompletions(this: CliContext, partial: string): Promise<string[]> {
    const templates = await this.api().templates();
    return templates.map(({ name }) => name).filter((name) => name.startsWith(partial));
  },
} as const;

export const timeoutFlag = {
  kind: 'parsed',
  parse: parseSeconds('--timeout'),
  brief: 'Time to live from now on, such as 30m',
  placeholder: 'duration',
} as const;

export const imageFlag = {
  kind: 'parsed',
  parse: (text: string): string => {
    if (isImageReference(text)) return text;
    throw new Error(
      `--image is "${text}"; it must be the name of an image, such as ghcr.io/acme/app:1.2.`,
    );
  },
  brief: 'Image that `imageAllow` of the template allows; default: its `image`',
  placeholder: 'image',
  optional: true,
} as const;

export const pathFlag = {
  kind: 'parsed',
  parse: (text: string): string => {
    const issue = landingPathIssue(text);
    if (issue === undefined) return text;
    throw new Error(`--path is "${text}"; it ${issue}.`);
  },
  brief: 'Path at which the instance opens, such as /lab; default: `open` of the template',
  placeholder: 'path',
  optional: true,
} as const;

/** A name and its value. */
export type Pair = readonly [name: string, value: string];

/** `NAME=VALUE`, any number of times. The value may be empty, and may contain further equals signs. */
export const pairFlag = (option: string, brief: string) =>
  ({
    kind: 'parsed',
    parse: (text: string): Pair => {
      const at = text.indexOf('=');
      if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
      throw new Error(`${option} is "${text}"; it must be NAME=VALUE.`);
    },
    brief,
    placeholder: 'NAME=VALUE',
    variadic: true,
    optional: true,
  }) as const;

/** @throws UsageError if a name is given twice */
export function recordOf(option: string, pairs: readonly Pair[]): Record<string, string> {
  const names = pairs.map(([name]) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new UsageError(`${option} sets ${twice} twice.`);
  return Object.fromEntries(pairs);
}
