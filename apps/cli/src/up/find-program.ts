import { accessSync, constants, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inherited } from '../config.ts';

/** Daemons are installed in sbin folders, which are not on every PATH. */
const alwaysSearched = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin'];

/** Returns the full path of an installed program, or undefined. */
export function findProgram(name: string, path = inherited['PATH'] ?? ''): string | undefined {
  const folders = [...path.split(':').filter(Boolean), ...alwaysSearched];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const interpreterHeader = 3;

/**
 * Returns whether a program is statically linked, and so runs in an empty image: a 64-bit
 * little-endian ELF file without an interpreter program header (elf(5), PT_INTERP).
 */
export function isStaticBinary(file: string): boolean {
  const bytes = readFileSync(file);
  if (bytes.toString('latin1', 0, 4) !== '\x7fELF' || bytes[4] !== 2) return false;
  const [offset, size, count] = [
    Number(bytes.readBigUInt64LE(32)),
    bytes.readUInt16LE(54),
    bytes.readUInt16LE(56),
  ];
  return Array.from({ length: count }, (_, index) =>
    bytes.readUInt32LE(offset + index * size),
  ).every((type) => type !== interpreterHeader);
}
