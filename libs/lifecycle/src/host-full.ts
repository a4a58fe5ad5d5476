/** A host that has no room for an instance that it was to begin: another may, or it may later. */
export class HostFull extends Error {
  override readonly name = 'HostFull';
}

/** Another host has begun it, and its worker may have died: the job is for the workers there. */
export class BegunElsewhere extends Error {
  override readonly name = 'BegunElsewhere';
}
