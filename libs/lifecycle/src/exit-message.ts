/** What is told of a container that ended by itself. */
export function exitMessage(
  exit: { readonly oomKilled: boolean; readonly exitCode: number | undefined } | undefined,
): string {
  if (exit?.oomKilled) return 'The container ran out of memory.';
  return `The container exited with code ${exit?.exitCode ?? '?'}.`;
}
