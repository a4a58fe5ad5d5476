import { expect, test } from 'vitest';
import { matchesLoaderVariablesOnly, requestedEnv } from './requested-env.ts';

const withAllow = (envAllow?: readonly string[], more: object = {}) => ({
  name: 'demo',
  env: {},
  ...(envAllow && { envAllow }),
  ...more,
});
const refusedOf = (names: readonly string[], envAllow?: readonly string[]) => {
  const result = requestedEnv(
    Object.fromEntries(names.map((name) => [name, 'x'])),
    withAllow(envAllow),
  );
  return 'env' in result ? [] : result.faults.slice(0, -1).map(({ path }) => path.slice(4));
};

test('a template without a list allows no variable', () => {
  expect(refusedOf(['A', 'GREETING'])).toEqual(['A', 'GREETING']);
  expect(refusedOf([])).toEqual([]);
});

test('names are exact, and patterns match a prefix', () => {
  const allow = ['GREETING', 'APP_*'];
  expect(refusedOf(['GREETING', 'APP_', 'APP_X', 'APP_LD_PRELOAD'], allow)).toEqual([]);
  const others = ['greeting', 'GREETING2', 'AGREETING', 'APP', 'app_x', 'XAPP_Y', 'A'];
  expect(refusedOf(others, allow)).toEqual(others);
});

test.each([
  ...['LD_PRELOAD', 'LD_LIBRARY_PATH', 'LD_AUDIT', 'DYLD_INSERT_LIBRARIES', 'GLIBC_TUNABLES'],
  ...['GCONV_PATH', 'MALLOC_CHECK_', 'PATH', 'HOME', 'IFS', 'ENV', 'BASH_ENV', 'BASHOPTS', 'PS4'],
  ...['NODE_OPTIONS', 'NODE_PATH', 'NODE_EXTRA_CA_CERTS', 'npm_config_script_shell'],
  ...['PYTHONPATH', 'PYTHONSTARTUP', 'PYTHONHOME', 'PERL5LIB', 'PERL5OPT', 'PERLLIB', 'RUBYOPT'],
  ...['RUBYLIB', 'GEM_PATH', 'BUNDLE_GEMFILE', 'JAVA_TOOL_OPTIONS', '_JAVA_OPTIONS', 'CLASSPATH'],
  ...['JDK_JAVA_OPTIONS', 'DOTNET_STARTUP_HOOKS', 'CORECLR_PROFILER_PATH', 'PHPRC', 'LUA_PATH'],
  ...['PHP_INI_SCAN_DIR', 'GIT_SSH_COMMAND', 'GIT_EXTERNAL_DIFF', 'SSH_ASKPASS', 'EDITOR'],
  ...['PAGER', 'MANPAGER', 'LESSOPEN', 'OPENSSL_CONF', 'OPENSSL_MODULES', 'SSL_CERT_FILE'],
  ...['SSLKEYLOGFILE', 'http_proxy', 'HTTPS_PROXY', 'ALL_PROXY', 'CURL_CA_BUNDLE', 'HOSTALIASES'],
  ...['LOCPATH', 'NLSPATH', 'GETCONF_DIR', 'LOCALDOMAIN', 'RES_OPTIONS', 'RESOLV_HOST_CONF'],
  ...[
    'TZDIR',
    'TMPDIR',
    'TERMINFO_DIRS',
    'SHELL',
    'SHELLOPTS',
    'PROMPT_COMMAND',
    'CDPATH',
    'FPATH',
  ],
  ...['ZDOTDIR', 'VISUAL', 'LESSCLOSE', 'BROWSER', 'DOCKER_HOST', 'KUBECONFIG', 'MAKEFLAGS'],
  ...['MAKEFILES', 'ELECTRON_RUN_AS_NODE', 'DENO_DIR', 'BUN_INSTALL', 'PIP_INDEX_URL'],
  ...['VIRTUAL_ENV', 'TCLLIBPATH', 'ELIXIR_ERL_OPTIONS', 'JRE_HOME', 'CATALINA_OPTS'],
  ...['MAVEN_OPTS', 'GRADLE_OPTS', 'COR_PROFILER', 'COMPLUS_VERSION', 'ASPNETCORE_URLS', 'GODEBUG'],
  ...[
    'GUILE_LOAD_PATH',
    'REQUESTS_CA_BUNDLE',
    'ERL_FLAGS',
    'R_PROFILE',
    'XDG_CONFIG_HOME',
    'Ld_Preload',
    'EPHEMERA_ID',
  ],
])('%s passes by its exact name only', (name) => {
  expect(refusedOf([name])).toEqual([name]);
  expect(refusedOf([name], ['*', `${name.slice(0, 2)}*`, `${name}*`, 'X'])).toEqual([name]);
  expect(refusedOf([name], ['*', name])).toEqual([]);
});

test('names that merely contain one of a loader variable are no loader variable', () => {
  const names = ['APP_PATH', 'PATHS', 'MY_HOME', 'ENVIRONMENT', 'LDAP_URL', 'COLOUR', 'RUST_LOG'];
  expect(refusedOf(names, ['*'])).toEqual([]);
});

test('the refusal names each variable and the line that allows them', () => {
  const result = requestedEnv({ A: '1', B: '2', PATH: '/x' }, withAllow(['APP_*', 'B']));
  const faults = 'faults' in result ? result.faults : [];
  expect(faults.map(({ path }) => path)).toEqual(['env.A', 'env.PATH', 'env']);
  expect(faults[1]?.detail).toContain('no pattern allows it');
  expect(faults[2]?.detail).toContain("`envAllow: ['APP_*', B, A, PATH]` in the template demo");
});

test('a value of the template wins, unless the template allows to override it', () => {
  const template = withAllow(['A', 'B'], { env: { A: 'own' } });
  expect(requestedEnv({ A: '1', B: '2' }, template)).toEqual({ env: { B: '2' } });
  expect(requestedEnv({ A: '1', B: '2' }, { ...template, envOverride: true })).toEqual({
    env: { A: '1', B: '2' },
  });
  // An own property named like a method of every object.
  const odd = withAllow(['constructor']);
  expect(requestedEnv({ constructor: 'x' }, odd)).toEqual({ env: { constructor: 'x' } });
});

test.each([
  ['LD_*', true],
  ['LD_P*', true],
  ['PYTHON*', true],
  ['L*', false],
  ['LD_PRELOAD', false],
  // A name that ends as a loader variable does not begin as one.
  ['MY_PROXY*', false],
  // `PATH` stands for itself only.
  ['PATTERN_*', false],
  ['X*', false],
  ['APP_*', false],
  ['*', false],
])('%s matches loader variables only: %s', (pattern, expected) => {
  expect(matchesLoaderVariablesOnly(pattern)).toBe(expected);
});
