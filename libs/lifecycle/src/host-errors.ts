/** A host that has no room for an instance that it was to begin: another may, or it may later. */
export class HostCapacityError extends Error {
  override readonly name = 'HostCapacityError';
}

/** Another host has begun it, and its worker may have died: the job is for the workers there. */
export class AssignedToOtherHostError extends Error {
  override readonly name = 'AssignedToOtherHostError';
}
