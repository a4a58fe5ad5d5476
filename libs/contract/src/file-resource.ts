import { z } from './openapi-zod.ts';

/** PATH_MAX of Linux, without the terminating NUL. */
const MAX_PATH = 4_095;

const absolute = z
  .string()
  .max(MAX_PATH)
  .regex(/^\/[^\0]*$/, 'must be an absolute path without a NUL character');

const filePath = absolute
  .regex(/[^/]$/, 'must not end with a slash')
  .openapi({ description: 'Absolute path in the container. Links and `..` are followed there.' });

const flag = (description: string) => z.literal('1').optional().openapi({ description });

/** The query of `GET /v1/instances/{id}/files`. */
export const readFileQuerySchema = z.strictObject({
  path: absolute.openapi({
    description: 'Absolute path in the container. Links and `..` are followed there.',
  }),
  list: flag('`1`: the entries of the directory, as JSON.'),
});

/** The query of `PUT /v1/instances/{id}/files`. */
export const writeFileQuerySchema = z.strictObject({
  path: filePath,
  mode: z
    .string()
    .regex(/^0?[0-7]{3}$/, 'must be three octal digits, such as 755')
    .optional()
    .openapi({
      description: 'Permissions. Default: those of the file before, else 644.',
      example: '755',
    }),
});

/** The query of `DELETE /v1/instances/{id}/files`. */
export const removeFileQuerySchema = z.strictObject({
  path: filePath,
  recursive: flag('`1`: a directory with everything in it.'),
});

/** The body of `POST /v1/instances/{id}/files/move`. */
export const moveFileSchema = z
  .strictObject({
    from: filePath,
    to: filePath,
    replace: z.boolean().optional().openapi({
      description: 'Whether a file at the new path is replaced. Default: it is a conflict.',
    }),
  })
  .openapi('MoveFile');

const TAG = '"[0-9-]{1,100}"';

export const fileIfMatchSchema = z
  .string()
  .regex(new RegExp(`^(?:\\*|${TAG})$`), 'must be * or one strong ETag of a file')
  .optional()
  .openapi({ description: 'Only if the file has this `ETag`; `*`: only if it exists.' });

export const fileRangeSchema = z.string().optional().openapi({
  description: 'One range of bytes, such as `bytes=0-99`. Several ranges are ignored.',
});

/** One entry of a directory. */
const fileEntrySchema = z.object({
  name: z.string().openapi({ description: 'Bytes that are no UTF-8 are replaced.' }),
  type: z.enum(['file', 'directory', 'link', 'other']),
  size: z.int().openapi({ description: 'Bytes.' }),
  mode: z.string().openapi({ description: 'Permissions in octal digits.' }),
  modifiedAt: z.string().openapi({ description: 'Time of the last change (RFC 3339).' }),
});

/** The entries of a directory. */
export const fileListSchema = z
  .object({
    items: z.array(fileEntrySchema),
    isTruncated: z.boolean().openapi({
      description: 'Whether the directory has more entries than the 10,000 that are listed.',
    }),
  })
  .openapi('FileList');

export type FileListResource = z.infer<typeof fileListSchema>;
export type MoveFileRequest = z.infer<typeof moveFileSchema>;

/** The bytes of a file. */
export const fileBytesSchema = z.string().openapi({ format: 'binary' });

/** The largest file of an instance whose root is writable, bytes. Otherwise its memory is the limit. */
export const MAX_FILE_BYTES = 8 * 1024 ** 3;
