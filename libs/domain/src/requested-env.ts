import type { Issue } from './failure.ts';
import type { Template } from './template.ts';

/**
 * Variables with which a dynamic loader, a shell, a language runtime or a common library finds code,
 * certificates or proxies. Who sets one of them runs code of their own in the container. `*` stands
 * for any end.
 */
const LOADER_VARIABLES = [
  // Dynamic loaders and the C library
  ...['LD_*', 'DYLD_*', 'GLIBC_*', 'GCONV_PATH', 'MALLOC_*', 'LOCPATH', 'NLSPATH', 'GETCONF_DIR'],
  ...['HOSTALIASES', 'LOCALDOMAIN', 'RES_OPTIONS', 'RESOLV_*', 'TZDIR', 'TMPDIR', 'TERMINFO*'],
  // Shells, and the programs that other programs start
  ...['PATH', 'HOME', 'IFS', 'ENV', 'SHELL', 'SHELLOPTS', 'BASH*', 'PS4', 'PROMPT_COMMAND'],
  ...[
    'CDPATH',
    'FPATH',
    'ZDOTDIR',
    'XDG_*',
    'EDITOR',
    'VISUAL',
    '*PAGER',
    'LESSOPEN',
    'LESSCLOSE',
    'BROWSER',
  ],
  ...['GIT_*', 'SSH_*', 'DOCKER_*', 'KUBECONFIG', 'MAKEFLAGS', 'MAKEFILES'],
  // Language runtimes
  ...['NODE_*', 'NPM_*', 'ELECTRON_*', 'DENO_*', 'BUN_*', 'PYTHON*', 'PIP_*', 'VIRTUAL_ENV'],
  ...[
    'PERL*',
    'RUBY*',
    'GEM_*',
    'BUNDLE_*',
    'PHP*',
    'LUA_*',
    'TCLLIBPATH',
    'R_*',
    'ERL_*',
    'ELIXIR_*',
  ],
  ...['JAVA_*', '_JAVA_*', 'JDK_*', 'JRE_*', 'CLASSPATH', 'CATALINA_*', 'MAVEN_*', 'GRADLE_*'],
  ...['DOTNET_*', 'CORECLR_*', 'COR_*', 'COMPLUS_*', 'ASPNETCORE_*', 'GODEBUG', 'GUILE_*'],
  // TLS and proxies of common libraries
  ...['OPENSSL_*', 'SSL_*', 'SSLKEYLOGFILE', 'CURL_*', 'REQUESTS_CA_BUNDLE', '*_PROXY'],
  'EPHEMERA_*',
];

/** Whether a name is one of the loader variables, in any case: some runtimes ignore case. */
function isLoaderVariable(name: string): boolean {
  const upper = name.toUpperCase();
  return LOADER_VARIABLES.some((pattern) =>
    pattern.startsWith('*') ? upper.endsWith(pattern.slice(1)) : matches(upper, pattern),
  );
}

/** `APP_*` matches every name that begins with `APP_`; another pattern matches itself. */
function matches(name: string, pattern: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

/**
 * Whether a pattern of `envAllow` can match no variable, because all names that begin with it are
 * loader variables.
 */
export function matchesLoaderVariablesOnly(pattern: string): boolean {
  const start = pattern.slice(0, -1).toUpperCase();
  return (
    pattern.endsWith('*') &&
    LOADER_VARIABLES.some((loader) => loader.endsWith('*') && start.startsWith(loader.slice(0, -1)))
  );
}

/**
 * The variables of a creation that reach the container. Those that the template sets itself do not,
 * unless it has `envOverride`. Refused are those that `envAllow` does not list: by its exact name, or,
 * except for loader variables, by a pattern such as `APP_*`.
 *
 * @returns the variables, or every refused one and the line that would allow them
 */
export function requestedEnv(
  env: Readonly<Record<string, string>>,
  template: Pick<Template, 'name' | 'env' | 'envAllow' | 'envOverride'>,
): { readonly env: Readonly<Record<string, string>> } | { readonly faults: readonly Issue[] } {
  const { envAllow = [], envOverride = false } = template;
  const isAllowed = (name: string) =>
    envAllow.includes(name) ||
    (!isLoaderVariable(name) && envAllow.some((pattern) => matches(name, pattern)));
  const refused = Object.keys(env).filter((name) => !isAllowed(name));
  if (refused.length > 0) {
    const line = `envAllow: [${[...envAllow, ...refused].map(quoted).join(', ')}]`;
    return {
      faults: [
        ...refused.map((name) => ({
          path: `env.${name}`,
          detail: isLoaderVariable(name)
            ? 'the template does not allow this variable; it can make programs load other code, so no pattern allows it'
            : 'the template does not allow this variable',
        })),
        {
          path: 'env',
          detail: `omit the refused variables, or let the operator set \`${line}\` in the template ${template.name}`,
        },
      ],
    };
  }
  const isEffective = ([name]: [string, string]) =>
    envOverride || !Object.hasOwn(template.env, name);
  return { env: Object.fromEntries(Object.entries(env).filter(isEffective)) };
}

/** YAML reads an unquoted `*` as an alias. */
function quoted(pattern: string): string {
  return pattern.endsWith('*') ? `'${pattern}'` : pattern;
}
