import type { AdminApi } from '../admin-api.ts';
import { readArguments } from '../read-arguments.ts';
import { showTable } from './show.ts';

/** `ls`: the instances, the oldest first. */
export async function ls(api: AdminApi, args: string[]): Promise<string> {
  readArguments({ args });
  return showTable(await api.list(), Date.now());
}
