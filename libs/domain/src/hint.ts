import type { Template } from './template.ts';

export const HINT_CODES = [
  'read_only_root',
  'permission_denied',
  'no_exec',
  'missing_capability',
  'capability_refused',
  'no_space',
  'file_watchers',
  'out_of_memory',
  'too_many_processes',
  'wrong_platform',
  'program_not_found',
  'loopback_only',
] as const;

export type HintCode = (typeof HINT_CODES)[number];

/** What a failed start or an exit is probably caused by, and the line of the template that cures it. */
export interface Hint {
  readonly code: HintCode;
  /** One or two sentences for people. */
  readonly text: string;
  /** Lines of the template, as YAML. Undefined: no line of the template helps. */
  readonly cure?: string | undefined;
}

/** What is known about a container that failed. */
export interface FailedRun {
  /** The last lines of the log, oldest first. The message of the Docker daemon counts as a line. */
  readonly log: readonly string[];
  /** Undefined: it still runs. */
  readonly exitCode?: number | undefined;
  readonly oomKilled?: boolean | undefined;
  /** Whether the port refused the last connection. */
  readonly refused?: boolean | undefined;
  readonly template: Template;
}

/**
 * The most probable cause of a failure. The last line of the log that matches decides, because
 * entrypoint scripts print warnings before the error that ends them.
 */
export function hintFor(run: FailedRun): Hint | undefined {
  const { log, oomKilled, template } = run;
  if (oomKilled === true) return outOfMemory(template);
  for (let at = log.length - 1; at >= 0; at--) {
    const line = log[at] ?? '';
    // A traceback names the call some lines above the error.
    const context = log.slice(Math.max(0, at - CONTEXT_LINES), at + 1).join('\n');
    for (const rule of RULES) {
      const hint = rule({ line, context, run });
      if (hint) return hint;
    }
  }
  return undefined;
}

const CONTEXT_LINES = 3;

interface Match {
  readonly line: string;
  readonly context: string;
  readonly run: FailedRun;
}

type Rule = (match: Match) => Hint | undefined;

const NOT_PERMITTED = /\bEPERM\b|operation not permitted|\bErrno 1\]|\(1: /i;
const DENIED =
  /\bEACCES\b|permission denied|\bErrno 13\]|\(13: |AccessDenied(?:Exception|Error)|kind: PermissionDenied/i;

const wrongPlatform: Rule = ({ line }) =>
  /exec format error/i.test(line)
    ? {
        code: 'wrong_platform',
        text: 'The image is built for another CPU architecture than this host, or its entrypoint is a script without a first line such as #!/bin/sh. Use an image for this platform.',
      }
    : undefined;

const programNotFound: Rule = ({ line, run }) => {
  const isOfRuntime = /OCI runtime|runc|starting container process|\btini\b|docker-init/i.test(
    line,
  );
  const isMissing =
    /executable file not found|no such file or directory/i.test(line) && isOfRuntime;
  const isShell = run.exitCode === 127 && /(?:command )?not found/i.test(line);
  if (!isMissing && !isShell) return undefined;
  const { command, entrypoint } = run.template;
  const field =
    entrypoint === undefined ? (command === undefined ? 'image' : 'command') : 'entrypoint';
  return {
    code: 'program_not_found',
    text: `A program that the container starts is not in the image: ${quoted(line)}. Correct \`${field}\` of the template.`,
  };
};

const tooManyProcesses: Rule = ({ line, run: { template } }) => {
  const isThread =
    /can'?t start new thread|can(?:no|')t fork|unable to create (?:new |a )*native thread|failed to create new OS thread|failed to start (?:the )?native thread|BlockingIOError: \[Errno 11\]/i;
  const again = /resource temporarily unavailable|\bEAGAIN\b|\bErrno 11\]|fork: retry/i;
  const starts = /fork|clone|spawn|thread|pthread_create|process/i;
  if (!isThread.test(line) && !(again.test(line) && starts.test(line))) return undefined;
  const { pids } = template.limits;
  return {
    code: 'too_many_processes',
    text: `It needs more processes and threads than its limit of ${pids}.`,
    cure: `limits: { pids: ${pids * 2} }`,
  };
};

const readOnlyRoot: Rule = ({ line, run: { template } }) => {
  if (!/\bEROFS\b|read-?only file ?system|\bErrno 30\]|\(30: /i.test(line)) return undefined;
  const path = pathIn(line);
  const directory = directoryOf(path, line);
  const where = path === undefined ? '' : ` to ${path}`;
  if (!template.readOnly || (path !== undefined && /^\/(?:proc|sys)(?:\/|$)/.test(path))) {
    return {
      code: 'read_only_root',
      text: `It wrote${where} on a file system that stays read-only, such as /proc or /sys. Configure the application not to.`,
    };
  }
  // A tmpfs hides what the image has there.
  if (directory === undefined || HAS_CONTENT.test(directory) || NO_TEXT.test(directory)) {
    return {
      code: 'read_only_root',
      text: `It wrote${where}, and its root file system is read-only. If it needs a single empty directory, a \`tmpfs\` there is enough.`,
      cure: 'readOnly: false',
    };
  }
  return {
    code: 'read_only_root',
    text: `It wrote${where}, and its root file system is read-only. A tmpfs hides the files that the image has there; if they are needed, set \`readOnly: false\`.`,
    cure: `tmpfs: { ${quotedKey(directory)}: 64m }`,
  };
};

/** Directories of an image with files that a tmpfs would hide. */
const HAS_CONTENT = /^\/(?:$|(?:bin|boot|dev|etc|home|lib\w*|opt|root|sbin|usr|app|srv)(?:\/|$))/;

/** A path that a template cannot contain: control characters, or bytes that are no UTF-8. */
const NO_TEXT = /[\p{Cc}\uFFFD]/u;

const noSpace: Rule = ({ line, context, run: { template } }) => {
  const isWatch = /file watchers|inotify|fs\.inotify/i;
  if (!/\bENOSPC\b|no space left on device|\bErrno 28\]|\(28: |kind: StorageFull/i.test(line)) {
    return undefined;
  }
  if (isWatch.test(context)) {
    return {
      code: 'file_watchers',
      text: 'The host has no file watchers left. Its operator raises fs.inotify.max_user_watches, or the application polls instead.',
    };
  }
  const path = pathIn(line) ?? '';
  if (/\/dev\/shm|shared memory|shm_open/i.test(context)) {
    const bytes = template.shmSize ?? DEFAULT_SHM;
    return {
      code: 'no_space',
      text: `/dev/shm is full; its size is ${sizeText(bytes)}. It counts towards limits.memory.`,
      cure: `shmSize: ${sizeText(bytes * 4)}`,
    };
  }
  const mounts = Object.keys(template.tmpfs).sort((a, b) => b.length - a.length);
  const mount =
    mounts.find((at) => path === at || path.startsWith(`${at}/`)) ??
    (path === '' && mounts.length === 1 ? mounts[0] : undefined);
  const bytes = mount === undefined ? 0 : (template.tmpfs[mount]?.size ?? 0);
  if (mount === undefined) {
    return {
      code: 'no_space',
      text: 'A file system is full: a tmpfs of the template, or the disk of the host. Raise the size of the tmpfs, or free space on the host.',
    };
  }
  return {
    code: 'no_space',
    text: `The tmpfs ${mount} is full; its size is ${sizeText(bytes)}. It counts towards limits.memory.`,
    cure: `tmpfs: { ${quotedKey(mount)}: ${sizeText(bytes * 4)} }`,
  };
};

const DEFAULT_SHM = 64 * 1024 ** 2;

const noMemory: Rule = ({ line, run: { template } }) =>
  /OutOfMemoryError|JavaScript heap out of memory|\bENOMEM\b|cannot allocate memory|\bErrno 12\]|MemoryError|std::bad_alloc|out of memory/i.test(
    line,
  )
    ? outOfMemory(template)
    : undefined;

function outOfMemory({ limits }: Template): Hint {
  return {
    code: 'out_of_memory',
    text: `It needs more memory than its limit of ${sizeText(limits.memory)}. A tmpfs and /dev/shm count as memory.`,
    cure: `limits: { memory: ${sizeText(limits.memory * 2)} }`,
  };
}

const noExec: Rule = ({ line, run: { template, exitCode } }) => {
  const isMap = /failed to map segment from shared object/i.test(line);
  const path = pathIn(line);
  const mount = Object.keys(template.tmpfs).find(
    (at) => template.tmpfs[at]?.exec === false && path?.startsWith(`${at}/`) === true,
  );
  const isExec = DENIED.test(line) && (exitCode === 126 || /\bexec\b|spawn/i.test(line));
  if (!isMap && !(isExec && mount !== undefined)) return undefined;
  const at = mount ?? Object.keys(template.tmpfs)[0] ?? '/tmp';
  const bytes = template.tmpfs[at]?.size ?? DEFAULT_SHM;
  return {
    code: 'no_exec',
    text: `It runs a program or loads a library from ${at}, and files on a tmpfs cannot be executed by default.`,
    cure: `tmpfs: { ${quotedKey(at)}: { size: ${sizeText(bytes)}, exec: true } }`,
  };
};

/** What a call needs that the kernel refused: the first that matches the line or its context. */
const CAPABILITIES: readonly (readonly [calls: RegExp, capabilities: readonly string[]])[] = [
  [/\b[lf]?chown|changing ownership|change owner/i, ['CHOWN']],
  [
    /set(?:res|re|e|fs)?[ug]id|setgroups|initgroups|set groups|\bsu(?:-exec)?:|gosu|setpriv|s6-|switch(?:ing)? (?:to )?user|drop(?:ping)? privileges/i,
    ['SETUID', 'SETGID'],
  ],
  [/\bu?mount\b|unshare|pivot_root|namespace|nsenter|setns/i, ['SYS_ADMIN']],
  [/\bping6?\b|raw socket|SOCK_RAW|icmp|socket\(AF_PACKET/i, ['NET_RAW']],
  [
    /iptables|nftables|\btun\b|\btap\b|RTNETLINK|ip route|ip link|tcsetattr.{0,80}net/i,
    ['NET_ADMIN'],
  ],
  [/chroot/i, ['SYS_CHROOT']],
  [/mknod/i, ['MKNOD']],
  [/setrlimit|ulimit|rlimit/i, ['SYS_RESOURCE']],
  [/setpriority|\bnice\b|sched_set|mlock/i, ['SYS_NICE']],
  [/ptrace|strace|gdb/i, ['SYS_PTRACE']],
  [/settimeofday|adjtime|set (?:the )?date/i, ['SYS_TIME']],
  [/chmod|changing permissions|utime/i, ['FOWNER']],
];

/** Capabilities that give control over the host or its network. */
const REFUSED: ReadonlySet<string> = new Set(['SYS_ADMIN', 'NET_ADMIN', 'SYS_TIME', 'SYS_PTRACE']);

const lowPort: Rule = ({ line, run: { template } }) => {
  if (!DENIED.test(line) && !NOT_PERMITTED.test(line)) return undefined;
  if (!/\bbind|\blisten|make_sock/i.test(line)) return undefined;
  // `0.0.0.0:80`, `[::]:80`, `listen tcp :80`, `0.0.0.0 port 80`, `port: 80`.
  const ports = [...line.matchAll(/(?::|\bport:? )(\d{1,5})\b/gi)].map(([, port]) => Number(port));
  const [port = template.port] = ports.filter((number) => number !== 13 && number !== 1);
  if (port >= 1024) return undefined;
  return {
    code: 'missing_capability',
    text: `Port ${port} is below 1024, and the process may not listen on it. Configure a port from 1024 on, or add NET_BIND_SERVICE. ${LIST_IT}`,
    cure: capabilityLines(template, ['NET_BIND_SERVICE']),
  };
};

const LIST_IT = '`allow.capabilities` of the file must list it.';

const missingCapability: Rule = ({ line, context, run: { template } }) => {
  // BusyBox writes `ping: permission denied (are you root?)`.
  if (!NOT_PERMITTED.test(line) && !/are you root/i.test(line)) return undefined;
  const inLine = CAPABILITIES.find(([calls]) => calls.test(line));
  const [, names] = inLine ?? CAPABILITIES.find(([calls]) => calls.test(context)) ?? [];
  if (names === undefined) {
    return {
      code: 'missing_capability',
      text: `The kernel refused an operation that needs a right the container does not have: ${quoted(line)}. The profile \`docker\` gives the rights that the image has under \`docker run\`; \`allow.profiles\` must list it.`,
      cure: 'profile: docker',
    };
  }
  const text = names.join(' and ');
  if (names.some((name) => REFUSED.has(name))) {
    return {
      code: 'capability_refused',
      text: `It needs the capability ${text}, which gives control over the host or its network, so it is not given to instances. Configure the application to work without it, or use another image.`,
    };
  }
  return {
    code: 'missing_capability',
    text: `It needs the capability ${text}. ${LIST_IT}`,
    cure: capabilityLines(template, names),
  };
};

/** Only root receives added capabilities. */
function capabilityLines({ user, capAdd }: Template, names: readonly string[]): string {
  const isRoot = user === undefined || /^(?:0|root)(?::|$)/.test(user);
  const all = [...new Set([...capAdd, ...names])];
  return [...(isRoot ? [] : ['user: image']), `capAdd: [${all.join(', ')}]`].join('\n');
}

const permissionDenied: Rule = ({ line, run: { template } }) => {
  if (!DENIED.test(line)) return undefined;
  const path = pathIn(line);
  const what = path ?? 'a file';
  if (template.user !== undefined && !/^(?:0|root)(?::|$)/.test(template.user)) {
    return {
      code: 'permission_denied',
      text: `The user ${template.user} may not use ${what}. The image probably expects its own user.`,
      cure: 'user: image',
    };
  }
  return {
    code: 'permission_denied',
    text: `The user of the image may not use ${what}. Root without capabilities has no access to files of other users; DAC_OVERRIDE gives it. ${LIST_IT}`,
    cure: capabilityLines(template, ['DAC_OVERRIDE']),
  };
};

const loopbackOnly: Rule = ({ line, run: { refused, exitCode } }) => {
  if (refused !== true || exitCode !== undefined) return undefined;
  if (!/listen|running|serving|started|bound|binding|available|ready|server|local:/i.test(line)) {
    return undefined;
  }
  if (!/\b127\.0\.0\.1\b|\blocalhost\b|\[::1\]/i.test(line)) return undefined;
  return {
    code: 'loopback_only',
    text: 'The application listens on 127.0.0.1, where only the container itself reaches it. Bind it to 0.0.0.0; many applications have an option such as `--host 0.0.0.0` for it, which belongs in `command`, or a variable such as HOST, which belongs in `env`.',
    cure: 'env: { HOST: 0.0.0.0 }',
  };
};

const RULES: readonly Rule[] = [
  wrongPlatform,
  programNotFound,
  tooManyProcesses,
  readOnlyRoot,
  noSpace,
  noExec,
  lowPort,
  missingCapability,
  permissionDenied,
  noMemory,
  loopbackOnly,
];

/** The last absolute path in a line. */
function pathIn(line: string): string | undefined {
  const paths = [...line.matchAll(/(?:^|[\s'"`(=])(\/[^\s'"`:,()]+)/g)].map(
    ([, path]) => path ?? '',
  );
  return paths.filter((path) => /\/\w/.test(path)).at(-1);
}

/** The directory that must be writable for a path. */
function directoryOf(path: string | undefined, line: string): string | undefined {
  if (path === undefined) return undefined;
  const parent = path.replace(/\/+[^/]*\/?$/, '');
  // The parent of a directory that could not be made is too large a part of the image.
  const isOwn = parent === '' || (/mkdir|director/i.test(line) && /^\/\w+$/.test(parent));
  return isOwn ? path.replace(/\/+$/, '') : parent;
}

/** A key of a YAML mapping in one line. */
function quotedKey(text: string): string {
  return /^[\w./@-]+$/.test(text) ? text : JSON.stringify(text);
}

function quoted(line: string): string {
  const text = line.trim();
  return `“${text.length > 160 ? `${text.slice(0, 160)}…` : text}”`;
}

/** `256m`, `1536k`. */
function sizeText(bytes: number): string {
  for (const [unit, factor] of [
    ['g', 1024 ** 3],
    ['m', 1024 ** 2],
    ['k', 1024],
  ] as const) {
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return `${Math.max(1, Math.round(bytes / 1024 ** 2))}m`;
}
