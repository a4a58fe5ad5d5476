import { isId } from '@ephemera/domain';
import {
  MAX_FILE_BYTES,
  fileBytesSchema,
  fileIfMatchSchema,
  fileListSchema,
  fileRangeSchema,
  moveFileSchema,
  readFileQuerySchema,
  removeFileQuerySchema,
  writeFileQuerySchema,
} from './file-resource.ts';
import { EXAMPLE_ID } from './openapi-examples.ts';
import { z } from './openapi-zod.ts';
import { defineRoute, problem } from './route.ts';

const item = {
  params: z.object({
    id: z
      .string()
      .refine(isId, 'is not a valid instance id')
      .openapi({ description: 'Id of the instance.', example: EXAMPLE_ID }),
  }),
  absent: 'instance of this id, or no file of this path',
} as const;

const refusals = {
  403: problem(
    'The token may not use files of this instance; the response is the same if there is no such instance',
  ),
  409: problem(
    'The template does not allow it, the instance is paused or not ready yet, or the file system refuses it',
  ),
  410: problem('The instance has ended'),
  429: problem('Too many commands and transfers run, or the token has exceeded `changesPerToken`'),
  503: problem('Redis is unavailable, or no worker of the host answers'),
};
const CONDITION_FAILED = problem('The file is not as `If-Match` or `If-None-Match` requires');

/** `/v1/instances/{id}/files`: files in the container of an instance. */
export const fileRoutes = {
  readFile: defineRoute({
    method: 'GET',
    path: '/v1/instances/{id}/files',
    summary: 'Read a file of an instance, or list a directory',
    description:
      'The template must allow it (`exec`). The file is read as the user of the container. `ETag` changes with every change of the file. Files of `/proc` have the size 0 and are read as empty.',
    token: true,
    ...item,
    query: readFileQuerySchema,
    headers: z.object({
      range: fileRangeSchema,
      'if-none-match': z.string().optional().openapi({
        description: 'One or more `ETag`s. If the file has one of them, the response is 304.',
      }),
    }),
    refusesHead: true,
    responses: {
      200: {
        description: 'The bytes of the file, or the entries of the directory',
        content: {
          'application/octet-stream': fileBytesSchema,
          'application/json': fileListSchema,
        },
      },
      206: {
        description: 'The range of bytes',
        content: { 'application/octet-stream': fileBytesSchema },
      },
      304: { description: 'The file has an `ETag` of `If-None-Match`' },
      416: problem('The file has not these bytes'),
      ...refusals,
    },
  }),
  writeFile: defineRoute({
    method: 'PUT',
    path: '/v1/instances/{id}/files',
    summary: 'Write a file of an instance',
    description:
      'The body is the content, of any media type. It is written beside the file and renamed when it is complete. Missing directories are created. `ETag` of the response is that of the new file.',
    token: true,
    ...item,
    query: writeFileQuerySchema,
    headers: z.object({
      'if-match': fileIfMatchSchema,
      'if-none-match': z
        .literal('*')
        .optional()
        .openapi({ description: '`*`: only if the file does not exist.' }),
    }),
    body: { type: 'bytes', schema: fileBytesSchema, limit: MAX_FILE_BYTES },
    responses: { 204: { description: 'Written' }, 412: CONDITION_FAILED, ...refusals },
  }),
  removeFile: defineRoute({
    method: 'DELETE',
    path: '/v1/instances/{id}/files',
    summary: 'Remove a file, a link or a directory of an instance',
    token: true,
    ...item,
    query: removeFileQuerySchema,
    responses: { 204: { description: 'Removed' }, ...refusals },
  }),
  moveFile: defineRoute({
    method: 'POST',
    path: '/v1/instances/{id}/files/move',
    summary: 'Rename a file or a directory of an instance',
    description: 'Missing directories of the new path are created.',
    token: true,
    ...item,
    body: { type: 'json', schema: moveFileSchema, limit: 16_384 },
    responses: { 204: { description: 'Renamed' }, ...refusals },
  }),
};
