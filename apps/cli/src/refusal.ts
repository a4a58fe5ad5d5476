/**
 * Something that this program cannot put right by itself: the message says what is missing and
 * what to do about it. It is shown as it stands, without a stack, and the exit code is 1.
 */
export class Refusal extends Error {
  override name = 'Refusal';
}
