import type { ExecRefusal } from './exec.ts';

/** Why a worker refused an operation on a file. */
export type FileRefusal =
  | ExecRefusal
  | 'no_file'
  /** It is a directory, a device, a pipe or a socket. */
  | 'not_regular'
  | 'not_directory'
  /** `ifMatch` or `isNew` does not hold. */
  | 'condition'
  | 'exists'
  | 'not_empty'
  /** The input ended early. */
  | 'incomplete'
  /** The file has not these bytes. `detail` is its size. */
  | 'range'
  /** The file would be larger than the template allows. `detail` is the limit, bytes. */
  | 'too_large'
  /** The container has no program for file operations. */
  | 'no_helper'
  /** The file system refuses it. `detail` says why. */
  | 'failed';

export type FileResult<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'refused'; readonly why: FileRefusal; readonly detail?: string | undefined };

/** One entry of a directory. Bytes of a name that are no UTF-8 are replaced. */
export interface FileEntry {
  readonly name: string;
  readonly type: 'file' | 'directory' | 'link' | 'other';
  /** Bytes. */
  readonly size: number;
  /** Permissions, as in `0644`. */
  readonly mode: string;
  /** Epoch ms. */
  readonly modifiedAt: number;
}

export interface FileList {
  readonly entries: readonly FileEntry[];
  /** Whether the directory has more entries. */
  readonly isTruncated: boolean;
}

/** A transfer in which no byte moves for so long is ended, ms. */
export const FILE_STALL_MS = 60_000;
/** A removal or a move that takes longer is ended, ms. */
export const FILE_CHANGE_MS = 600_000;

/** Headers by which a worker describes the file that it sends. */
export const FILE_HEADERS = {
  /** Entity tag, without quotes. */
  tag: 'x-file-tag',
  /** Size of the whole file, bytes. */
  size: 'x-file-size',
  /** Position of the first byte that is sent. */
  start: 'x-file-start',
  /** Epoch seconds. */
  modified: 'x-file-modified',
} as const;
