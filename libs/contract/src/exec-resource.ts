import { EXEC_ID_PATTERN, EXEC_SIGNALS } from '@ephemera/domain';
import { z } from './openapi-zod.ts';

const MAX_ARGUMENTS = 4_096;
/** The longest time of a timer of Node, seconds: 2^31 - 1 ms. */
const MAX_TIMEOUT_SECONDS = 2_147_483;

/** The kernel would cut arguments and variables at a NUL character. */
const withoutNul = z
  .string()
  .refine((text) => !text.includes('\0'), 'must not contain a NUL character');

const base64 = z
  .string()
  .regex(
    /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/,
    'must be base64 with padding',
  );

/** Bytes of the body of `POST …/exec` and `POST …/stdin`. */
export const EXEC_BODY_BYTES = 1_048_576;

/** The body of `POST /v1/instances/{id}/exec`. Unknown fields are refused. */
export const execRequestSchema = z
  .strictObject({
    cmd: z
      .array(withoutNul)
      .min(1, 'must have at least the program')
      .max(MAX_ARGUMENTS, `must have at most ${MAX_ARGUMENTS} arguments`)
      .openapi({
        description: 'The program and its arguments. No shell is involved.',
      }),
    cwd: withoutNul
      .regex(/^\//, 'must be an absolute path')
      .optional()
      .openapi({ description: 'Working directory. Default: that of the container.' }),
    env: z
      .record(
        z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'is not a valid variable name'),
        withoutNul,
      )
      .optional()
      .openapi({ description: 'Variables in addition to those of the container.' }),
    user: z
      .string()
      .regex(/^[^\s:\0]+(?::[^\s:\0]+)?$/, 'must be a user, or user:group, such as 1000:1000')
      .optional()
      .openapi({
        description: 'User and group, as `user:group`. Default: those of the container.',
      }),
    timeout: z.int().min(1).max(MAX_TIMEOUT_SECONDS).optional().openapi({
      description:
        'Seconds after which the command is killed. Default: only the end of the instance ends it.',
    }),
    stdin: z.string().optional().openapi({ description: 'Standard input, as text.' }),
    stdinBase64: base64.optional().openapi({ description: 'Standard input, as base64.' }),
    keepStdin: z.boolean().optional().openapi({
      description:
        'Whether the standard input stays open for `POST …/stdin`. Default: it ends after `stdin`.',
    }),
    tty: z.boolean().optional().openapi({
      description: 'Whether the command gets a terminal. All output is then in `stdout`.',
    }),
  })
  .refine(({ stdin, stdinBase64 }) => stdin === undefined || stdinBase64 === undefined, {
    path: ['stdin'],
    error: 'give either stdin or stdinBase64',
  })
  .openapi('RunCommand');

export type ExecRequestBody = z.infer<typeof execRequestSchema>;

/** The body of `POST …/exec/{execId}/stdin`. */
export const execInputSchema = z
  .strictObject({
    dataBase64: base64.optional().openapi({ description: 'Bytes, as base64.' }),
    end: z.boolean().optional().openapi({
      description: 'Whether the standard input ends after them.',
    }),
  })
  .openapi('CommandInput');

/** The body of `POST …/exec/{execId}/kill`. */
export const execKillSchema = z
  .strictObject({
    signal: z.enum(EXEC_SIGNALS).optional().openapi({
      description:
        'Signal for all processes of the command. Default: `KILL`, which is repeated until none is left.',
    }),
  })
  .openapi('KillCommand');

/** The body of `POST …/exec/{execId}/resize`. */
export const execResizeSchema = z
  .strictObject({
    columns: z.int().min(1).max(10_000).openapi({ description: 'Width in characters.' }),
    rows: z.int().min(1).max(10_000).openapi({ description: 'Height in characters.' }),
  })
  .openapi('ResizeCommand');

export const execParamsSchema = z
  .string()
  .regex(EXEC_ID_PATTERN, 'is not a valid id of a command')
  .openapi({ description: 'Id of the command.' });

const offset = (stream: string) =>
  z.coerce
    .number({ error: 'must be a number' })
    .int()
    .min(0)
    .max(Number.MAX_SAFE_INTEGER)
    .default(0)
    .openapi({ description: `Position in \`${stream}\` from which it is returned, bytes.` });

const encoding = z.enum(['utf8', 'base64']).default('utf8').openapi({
  description:
    'How the bytes of the output are written in JSON. `utf8`: bytes that are no UTF-8 are replaced.',
});

/** The query of `POST …/exec`. */
export const execQuerySchema = z.strictObject({ encoding });

/** The query of `GET …/exec/{execId}`. */
export const execReadQuerySchema = z.strictObject({
  stdout: offset('stdout'),
  stderr: offset('stderr'),
  encoding,
});

export type ExecReadQuery = z.infer<typeof execReadQuerySchema>;

const outputSchema = z.object({
  offset: z.int().openapi({
    description:
      'Position of the first byte of `data`. If it is later than requested, the bytes before it are no longer stored.',
  }),
  data: z.string().openapi({ description: 'The stored output, at most 256 KiB of bytes.' }),
  total: z.int().openapi({ description: 'Bytes that the command has written so far.' }),
});

/** A command with its stored output. */
export const execSchema = z
  .object({
    execId: z.string().openapi({ description: 'Id of the command.' }),
    state: z.enum(['running', 'exited', 'killed', 'lost']).openapi({
      description: '`lost`: the worker has restarted, and the processes of the command are killed.',
    }),
    exitCode: z.int().optional().openapi({
      description: '`exited`: the exit code; for a signal, 128 and its number.',
    }),
    reason: z.string().optional().openapi({
      description:
        '`killed`: `timeout`, `request` (a request for it), `worker_stopped`, or why the instance ended.',
    }),
    stdout: outputSchema.openapi({ description: 'Standard output.' }),
    stderr: outputSchema.openapi({ description: 'Standard error.' }),
  })
  .openapi('Command');

/** The data of one event of the stream of a command. */
export const execEventSchema = z
  .object({
    execId: z.string().optional().openapi({ description: '`started`: the id of the command.' }),
    offset: z
      .int()
      .optional()
      .openapi({ description: '`stdout`, `stderr`: position of the first byte.' }),
    data: z.string().optional().openapi({ description: '`stdout`, `stderr`: bytes, as base64.' }),
    state: z
      .enum(['exited', 'killed', 'lost'])
      .optional()
      .openapi({ description: '`end`: how it ended.' }),
    exitCode: z.int().optional().openapi({ description: '`end`: the exit code.' }),
    reason: z.string().optional().openapi({ description: '`end`: why it was killed.' }),
  })
  .openapi('CommandEvent');

export type ExecResource = z.infer<typeof execSchema>;
