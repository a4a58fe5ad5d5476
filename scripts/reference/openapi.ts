import { createRequire } from 'node:module';
import { adminRoutes, openApiDocument } from '@ephemera/contract';
import { clientTypes as generateTypes } from '../../libs/client/generate-types.ts';
import { publicRoutes } from '../../libs/proxy/src/public-routes.ts';

const { version } = createRequire(import.meta.url)('../../libs/proxy/package.json') as {
  version: string;
};

/** The OpenAPI document of a replica with the default ports. @param prefix as in the paths */
export function describedApi(prefix: string): object {
  return openApiDocument({
    version,
    admin: { url: 'http://localhost:8081', routes: adminRoutes },
    visitors: { url: 'http://localhost:8080', routes: publicRoutes(prefix) },
  });
}

/** `docs/openapi.json`, with the default prefix. */
export function openApiPage(): string {
  return JSON.stringify(describedApi('demo'));
}

/** The types of the document, for the client. */
export function clientTypes(): Promise<string> {
  return generateTypes(JSON.parse(openApiPage()) as object);
}
