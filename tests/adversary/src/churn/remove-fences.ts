/** Imported before a replica of a test: takes the fences away that its own address names. */
import { registerHooks } from 'node:module';
import { type Fence, fenceNames, taken } from './fences.ts';

const wanted = new URL(import.meta.url).search.slice(1).split(',');
const fences = fenceNames.filter((name): name is Fence => wanted.includes(name));

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    if (!url.startsWith('file:') || typeof loaded.source === 'string' || !loaded.source) {
      return loaded;
    }
    const source = taken(new URL(url).pathname, new TextDecoder().decode(loaded.source), fences);
    return source === undefined ? loaded : { ...loaded, source };
  },
});
