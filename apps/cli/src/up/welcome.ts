import { siteOf, type Config } from '../config.ts';

/** The message after a successful start. */
export function welcome(
  config: Config,
  made: { token: string; logs: string; tookMs: number },
): string {
  const open = `${config.publicUrl}/${config.prefix}/new`;
  return `
  Ephemera is up (${(made.tookMs / 1000).toFixed(1)} s).

    Visitors       ${open}
    Control API    ${siteOf(config.adminHost, config.adminPort)}/v1/instances
    Dashboard      ${siteOf(config.adminHost, config.dashboardPort)}
    Admin token    ${made.token}
    Logs           ${made.logs}

  Try:

    curl -L ${open}

  Ctrl-C stops it.
`;
}
