/**
 * Reads a URL again and again while the page is visible.
 * @param next returns the URL, or undefined while nothing shall be read
 * @param onData gets the JSON of each response; returns whether to read on at once, or `end`
 * @param onProblem gets the text of a failure, or '' after a success
 */
export function poll({ next, everyMs, onData, onProblem }) {
  let failures = 0;
  const round = async () => {
    const url = document.hidden ? undefined : next();
    let result;
    if (url !== undefined) {
      try {
        const answer = await fetch(url, { headers: { accept: 'application/json' } });
        // The session has ended. The login page leads back here.
        if (answer.status === 401) return location.reload();
        const body = await answer.json();
        if (answer.ok) {
          failures = 0;
          onProblem('');
          result = onData(body);
        } else {
          failures++;
          onProblem(body.detail ?? body.title);
          if (answer.status === 410) result = 'end';
        }
      } catch {
        failures++;
        onProblem('The dashboard does not answer.');
      }
    }
    if (result === 'end') return;
    const pause = result === true ? 0 : Math.min(everyMs * 2 ** Math.min(failures, 3), 10_000);
    setTimeout(round, pause);
  };
  void round();
}
