import { OpenAPIRegistry, OpenApiGeneratorV31 } from '@asteasolutions/zod-to-openapi';
import type { RouteConfig } from '@asteasolutions/zod-to-openapi';
import { type ResponseDeclaration, type RouteDeclaration, responsesOf } from './route.ts';

/**
 * Builds the OpenAPI 3.1 document from the declarations that requests are checked against.
 * @param routes the mounted routes
 */
export function openApiDocument(version: string, routes: readonly RouteDeclaration[]): object {
  const registry = new OpenAPIRegistry();
  const bearer = registry.registerComponent('securitySchemes', 'token', {
    type: 'http',
    scheme: 'bearer',
  });
  for (const route of routes) {
    const { method, path, summary, description, token, params, query, headers, body } = route;
    const responses = Object.entries(responsesOf(route));
    registry.registerPath({
      method: method.toLowerCase() as Lowercase<typeof method>,
      path,
      summary,
      ...(description !== undefined && { description }),
      security: token === true ? [{ [bearer.name]: [] }] : [],
      request: {
        ...(params && { params }),
        ...(query && { query }),
        ...(headers && { headers }),
        ...(body && { body: { content: { [MEDIA[body.type]]: { schema: body.schema } } } }),
      },
      responses: Object.fromEntries(
        responses.map(([status, response]) => [status, describe(response)]),
      ),
    });
  }
  return new OpenApiGeneratorV31(registry.definitions).generateDocument({
    openapi: '3.1.0',
    info: { title: 'Ephemera', version, description: 'The control API of Ephemera.' },
  });
}

const MEDIA = { json: 'application/json', form: 'application/x-www-form-urlencoded' } as const;

function describe({ description, content }: ResponseDeclaration): RouteConfig['responses'][string] {
  if (!content) return { description };
  const schemas = Object.entries(content).map(([type, schema]) => [type, { schema }]);
  return { description, content: Object.fromEntries(schemas) as Record<string, never> };
}
