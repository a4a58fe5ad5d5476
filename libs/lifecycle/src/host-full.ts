/** A host that has no room for an instance that it was to begin: another may, or it may later. */
export class HostFull extends Error {
  override readonly name = 'HostFull';
}
