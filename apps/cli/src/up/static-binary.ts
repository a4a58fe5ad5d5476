import { readFileSync } from 'node:fs';

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
