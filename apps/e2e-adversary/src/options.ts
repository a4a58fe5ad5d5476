/** What a suite was asked for on the command line. */
export type Options = Readonly<Record<string, string | undefined>>;
