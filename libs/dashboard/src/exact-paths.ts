/**
 * How our routers take a path: in these very letters and without a slash at its end, so that the
 * log of acts, which reads the path too, takes it for the same.
 */
export const EXACT = { strict: true, sensitive: true } as const;
