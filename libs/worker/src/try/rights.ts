import { parseTemplateLines } from '@ephemera/config';
import { PROFILE_CAPABILITIES } from '@ephemera/domain';

/** One change of a template that gives its container more than the defaults do. */
export interface Right {
  /** The field of the template, such as `limits`. */
  readonly field: string;
  /** The entry of the field: `memory` of `limits`, a path of `tmpfs`, a name of `capAdd`. */
  readonly key?: string | undefined;
  /** Its value as in `ephemera.yml`. `true` for an entry of a list. */
  readonly value: unknown;
}

/** Capabilities with which a process of root takes files over and drops to another user. */
const DROP_CAPABILITIES = ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'SETGID', 'SETUID'];

/** What `profile: docker` sets, except the capabilities. */
const OF_DOCKER_PROFILE: readonly Right[] = [
  { field: 'user', value: 'image' },
  { field: 'readOnly', value: false },
];

/**
 * The steps that are tried where the log names no cause, from the cheapest to the most costly in
 * safety. None opens the network.
 */
export function ladder({
  port,
  memory = Infinity,
  within,
}: {
  /** Ports below 1024 need a capability. */
  readonly port: number;
  /** Memory of the host for instances, bytes. Undefined: unknown. */
  readonly memory?: number | undefined;
  /** A longer start deadline, as in `ephemera.yml`. */
  readonly within: string;
}): readonly (readonly Right[])[] {
  const capabilities = [...DROP_CAPABILITIES, ...(port < 1024 ? ['NET_BIND_SERVICE'] : [])];
  return [
    [{ field: 'ready', key: 'within', value: within }],
    [
      ...(memory >= 1024 ** 3 ? [{ field: 'limits', key: 'memory', value: '1g' }] : []),
      { field: 'limits', key: 'pids', value: 512 },
    ],
    [{ field: 'user', value: 'image' }],
    [{ field: 'readOnly', value: false }],
    capabilities.map((key) => ({ field: 'capAdd', key, value: true })),
    [{ field: 'profile', value: 'docker' }],
    [{ field: 'init', value: false }],
  ];
}

/** The changes that lines of a template make, such as the cure of a hint. */
export function rightsIn(lines: string): Right[] {
  return Object.entries(parseTemplateLines(lines)).flatMap(([field, value]): Right[] => {
    if (Array.isArray(value)) {
      return value.map((key) => ({ field, key: String(key), value: true }));
    }
    if (typeof value !== 'object' || value === null) return [{ field, value }];
    return Object.entries(value).map(([key, item]) => ({ field, key, value: item as unknown }));
  });
}

function nameOf({ field, key = '' }: Right): string {
  return `${field} ${key}`;
}

/** Adds changes. A later value of the same entry replaces the earlier one. */
export function addRights(rights: readonly Right[], more: readonly Right[]): Right[] {
  const all = new Map([...rights, ...more].map((right) => [nameOf(right), right]));
  const merged = [...all.values()];
  if (!all.has('profile ')) return merged;
  const covered = new Set([
    ...OF_DOCKER_PROFILE.map(nameOf),
    ...PROFILE_CAPABILITIES.docker.map((key) => nameOf({ field: 'capAdd', key, value: true })),
  ]);
  return merged.filter((right) => !covered.has(nameOf(right)));
}

/** Removes one change. In place of a profile, its parts remain. */
export function withoutRight(rights: readonly Right[], right: Right): Right[] {
  const rest = rights.filter((other) => nameOf(other) !== nameOf(right));
  if (right.field !== 'profile') return rest;
  const parts = DROP_CAPABILITIES.map((key) => ({ field: 'capAdd', key, value: true }));
  return [...rest, ...OF_DOCKER_PROFILE, ...parts];
}

/** A text that is equal for equal changes in any order. */
export function identityOf(rights: readonly Right[]): string {
  return JSON.stringify(rights.map((right) => [nameOf(right), right.value]).sort());
}

/** What each field costs, as sentences, from the most costly to the cheapest. */
const COSTS: Readonly<Record<string, string>> = {
  profile:
    'The process runs as the user of the image, mostly root, with the capabilities that Docker gives by default. It can write anywhere in its container, and so fill the disk of the host.',
  user: 'The process runs as the user of the image. If that is root, an escape from the container is root on the host.',
  capAdd:
    'These capabilities let root in the container do more in the kernel: a fault in the kernel is easier to reach.',
  readOnly: 'The process can write anywhere in its container, and so fill the disk of the host.',
  init: 'No right: no init of Docker reaps processes and forwards signals, the image has to.',
  limits: 'Each instance may take this much from the host and from other instances.',
  shmSize: 'No right: the content counts towards limits.memory.',
  tmpfs:
    'No right on the host: the content counts towards limits.memory. Files of the image at these paths are hidden; `exec: true` lets programs run from there.',
  env: 'No right: a variable of the application.',
  ready: 'No right: a start that fails is reported later.',
};
const BY_COST = Object.keys(COSTS);

/** The changes from the most costly to the cheapest. */
export function byCost(rights: readonly Right[]): Right[] {
  return [...rights].sort((a, b) => BY_COST.indexOf(a.field) - BY_COST.indexOf(b.field));
}

/** One line of a template, and what it costs in safety. */
export interface CostlyLine {
  readonly line: string;
  readonly cost: string;
}

/** The lines of a template for its changes, each with its cost, the most costly first. */
export function linesOf(rights: readonly Right[]): CostlyLine[] {
  return [...Map.groupBy(byCost(rights), ({ field }) => field)].map(([field, group]) => ({
    line: `${field}: ${valueText(group)}`,
    cost: COSTS[field] ?? '',
  }));
}

function valueText(group: readonly Right[]): string {
  const [first] = group;
  if (first?.key === undefined) return flow(first?.value);
  if (group.every(({ value }) => value === true)) {
    return `[${group.map(({ key = '' }) => key).join(', ')}]`;
  }
  return flow(Object.fromEntries(group.map(({ key = '', value }) => [key, value])));
}

/** Text that YAML reads as text: it begins with a letter or a slash, or is a size or a duration. */
const PLAIN = /^(?:[A-Za-z/](?:[\w./@-]|:(?=[\w/]))*|\d+(?:[kmgsh]|ms))$/;
const NO_TEXT = /^(?:true|false|null|yes|no|on|off|y|n)$/i;

function flow(value: unknown): string {
  if (typeof value === 'string') {
    return PLAIN.test(value) && !NO_TEXT.test(value) ? value : JSON.stringify(value);
  }
  if (typeof value !== 'object' || value === null) return String(value);
  const entries = Object.entries(value).map(([key, item]) => `${flow(key)}: ${flow(item)}`);
  return `{ ${entries.join(', ')} }`;
}

/**
 * A whole `ephemera.yml` with one template.
 * @param comments whether a comment above each line names its cost
 */
export function fileText(
  { image, port }: { readonly image: string; readonly port: number },
  rights: readonly Right[],
  comments = false,
): string {
  const capabilities = rights.filter(({ field }) => field === 'capAdd').map(({ key }) => key);
  const allowed = [
    ...(rights.some(({ field }) => field === 'profile') ? ['profiles: [docker]'] : []),
    ...(capabilities.length > 0 ? [`capabilities: [${capabilities.join(', ')}]`] : []),
  ];
  const comment = (text: string, indent = '') => (comments ? [`${indent}# ${text}`] : []);
  return `${[
    ...(allowed.length > 0
      ? [
          ...comment('Every template of this file may use what is listed here.'),
          `allow: { ${allowed.join(', ')} }`,
        ]
      : []),
    'templates:',
    `  ${templateName(image)}:`,
    `    image: ${flow(image)}`,
    `    port: ${port}`,
    ...linesOf(rights).flatMap(({ line, cost }) => [...comment(cost, '    '), `    ${line}`]),
  ].join('\n')}\n`;
}

/** The name of a template for an image: the last part of its path, without tag and digest. */
function templateName(image: string): string {
  const [path = ''] = (image.split('@')[0] ?? '').split('/').slice(-1);
  const name = (path.split(':')[0] ?? '').toLowerCase().replace(/[^a-z0-9-]+/g, '-');
  return name.replace(/^[^a-z]+/, '').slice(0, 41) || 'app';
}
