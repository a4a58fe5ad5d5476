/** Every exit code of the command line. The help and the documentation list this table. */
export const EXIT_CODES = {
  ok: { code: 0, meaning: 'The command succeeded.' },
  failed: { code: 1, meaning: 'The command failed. The message on stderr says why.' },
  usage: { code: 2, meaning: 'The command, an option or an argument is unknown or invalid.' },
  timeout: { code: 124, meaning: 'The timeout of "exec" has killed the command.' },
  killed: {
    code: 137,
    meaning: 'The command of "exec" was killed, or its instance or its worker has ended.',
  },
  interrupted: { code: 130, meaning: 'A second Ctrl-C ended "up" before everything was removed.' },
} as const;
