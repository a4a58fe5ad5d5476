/**
 * Returns a listener for the errors of a loop that goes on after them. It passes on only the first of equal
 * errors in a row, so that a fault that lasts for hours is one line in the log.
 */
export function distinctErrors(onError: (error: unknown) => void): (error: unknown) => void {
  let last: string | undefined;
  return (error) => {
    const text = String(error);
    if (text !== last) onError(error);
    last = text;
  };
}
