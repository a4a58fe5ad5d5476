/**
 * How the control API's routers take a path: in these very letters and without a slash at its end,
 * so that scopes and the log of acts, which read the path too, take it for the same.
 */
export const EXACT = { strict: true, sensitive: true } as const;
