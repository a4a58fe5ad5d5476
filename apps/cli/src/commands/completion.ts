import { buildCommand, proposeCompletions, type Application } from '@stricli/core';

import type { CliContext } from '../context.ts';

/** The hidden first word by which the completion scripts request proposals. */
export const PROPOSE = '__complete';

/**
 * Each script calls `ephemera __complete WORD…` with the words up to the cursor and offers the
 * printed lines. Bash splits `--flag=value` at the equals sign, so its script drops that word.
 */
const SCRIPTS = {
  bash: `_ephemera() {
  local word words=()
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD}"; do
    [[ $word == = ]] || words+=("$word")
  done
  [[ \${COMP_WORDS[COMP_CWORD]} == = ]] && words+=("")
  mapfile -t COMPREPLY < <("\${COMP_WORDS[0]}" ${PROPOSE} "\${words[@]}" 2>/dev/null)
}
complete -o default -F _ephemera ephemera
`,
  zsh: `#compdef ephemera
_ephemera() {
  local -a proposals
  proposals=("\${(@f)$("\${words[1]}" ${PROPOSE} "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  compadd -- \${proposals:#}
}
compdef _ephemera ephemera
`,
  fish: `function __ephemera_complete
  set -l words (commandline -opc) (commandline -ct)
  $words[1] ${PROPOSE} $words[2..-1] 2>/dev/null
end
complete -c ephemera -f -a '(__ephemera_complete)'
`,
} as const;

type Shell = keyof typeof SCRIPTS;
const SHELLS = Object.keys(SCRIPTS) as Shell[];

export const completion = buildCommand({
  func(this: CliContext, _flags: object, shell: Shell) {
    this.process.stdout.write(SCRIPTS[shell]);
  },
  parameters: {
    positional: {
      kind: 'tuple',
      parameters: [
        {
          brief: SHELLS.join(', '),
          placeholder: 'shell',
          parse: parseShell,
          proposeCompletions: (partial: string) =>
            SHELLS.filter((shell) => shell.startsWith(partial)),
        },
      ],
    },
  },
  docs: {
    brief: 'Print the completion script of a shell',
    fullDescription: `Print the completion script of a shell. Load it when the shell starts:

  bash  echo 'source <(ephemera completion bash)' >> ~/.bashrc
  zsh   echo 'source <(ephemera completion zsh)' >> ~/.zshrc    (after compinit)
  fish  ephemera completion fish > ~/.config/fish/completions/ephemera.fish`,
  },
});

/**
 * Returns the possible completions of the last word. Options are proposed if the last word starts
 * with a hyphen, or if nothing else is possible. Errors propose nothing, because a completion must
 * not print messages.
 *
 * @param words the words after `ephemera`; the last one is incomplete and may be empty
 */
export async function proposeWords(
  app: Application<CliContext>,
  words: readonly string[],
  context: CliContext,
): Promise<string[]> {
  const last = words.at(-1) ?? '';
  const [, flag, value] = /^(--[^=]+)=(.*)$/s.exec(last) ?? [];
  if (flag !== undefined && value !== undefined) {
    const values = await proposeWords(app, [...words.slice(0, -1), flag, value], context);
    return values.map((proposal) => `${flag}=${proposal}`);
  }
  const proposals = await proposeCompletions(app, [...words.slice(0, -1), last], context).catch(
    () => [],
  );
  const others = proposals.filter(({ kind }) => kind !== 'argument:flag');
  const isOption = last.startsWith('-') || others.length === 0;
  return (isOption ? proposals : others)
    .map((proposal) => proposal.completion)
    .filter((word) => word !== '--');
}

function parseShell(text: string): Shell {
  const shell = SHELLS.find((name) => name === text);
  if (shell !== undefined) return shell;
  throw new Error(`The shell is "${text}"; it must be one of ${SHELLS.join(', ')}.`);
}
