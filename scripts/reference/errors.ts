import { PROBLEM_KINDS } from '@ephemera/contract';
import { blocks, code, generatedFrom, table } from './markdown.ts';

export function errorsPage(): string {
  const kinds = Object.entries(PROBLEM_KINDS).sort(
    ([a, { status: first }], [b, { status: second }]) => first - second || a.localeCompare(b),
  );
  return blocks(
    '# Error types',
    generatedFrom('`libs/contract/src/problem-kinds.ts`'),
    `Every error is a problem document (RFC 9457, \`application/problem+json\`), or a page if the client
prefers HTML. \`type\` is \`urn:ephemera:problem:\` and the kind. \`title\` and \`status\` depend on the kind,
\`detail\` on the request. Programs should compare \`type\`, not \`title\` or \`detail\`.`,
    table(
      ['status', 'kind', 'title'],
      kinds.map(([kind, { status, title }]) => [
        String(status),
        `[${code(kind)}](#${kind})`,
        title,
      ]),
    ),
    ...kinds.map(([kind, { status, title, meaning, action }]) =>
      blocks(`## ${code(kind)}`, `**${status} ${title}.** ${meaning}`, `What to do: ${action}`),
    ),
  );
}
