/** A connection could not be had: nothing listens, or the route is not what it was. */
export class UpstreamConnectError extends Error {
  override readonly name = 'UpstreamConnectError';
  readonly kind: 'unreachable' | 'superseded';
  constructor(kind: 'unreachable' | 'superseded') {
    super(kind);
    this.kind = kind;
  }
}
