import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';

/** One member of a union: a string, or the `kind` of an object. */
export interface Member {
  readonly value: string;
  /** The comment before the member in the source. */
  readonly comment: string;
}

/**
 * The members of a union type, with the comments before them.
 * @param path of the file that declares the type
 * @throws Error for a member that is neither a string, an object with a `kind`, nor such a union
 */
export function membersOf(path: string, name: string): Member[] {
  const source = ts.createSourceFile(
    path,
    readFileSync(path, 'utf8'),
    ts.ScriptTarget.Latest,
    true,
  );
  const alias = source.statements.find(
    (statement) => ts.isTypeAliasDeclaration(statement) && statement.name.text === name,
  );
  if (!alias || !ts.isTypeAliasDeclaration(alias)) {
    return membersOf(importedFrom(source, name), name);
  }
  const parts = ts.isUnionTypeNode(alias.type) ? [...alias.type.types] : [alias.type];
  return parts.flatMap((part) => readMember(source, part));
}

function readMember(source: ts.SourceFile, part: ts.TypeNode): Member[] {
  if (ts.isTypeReferenceNode(part)) return membersOf(source.fileName, part.typeName.getText());
  const value = literalOf(part) ?? kindOf(part);
  if (value === undefined) throw new Error(`${source.fileName}: ${part.getText()} has no name`);
  return [{ value, comment: commentBefore(source, part) }];
}

function literalOf(type: ts.TypeNode | undefined): string | undefined {
  if (!type || !ts.isLiteralTypeNode(type)) return undefined;
  return ts.isStringLiteral(type.literal) ? type.literal.text : undefined;
}

function kindOf(type: ts.TypeNode): string | undefined {
  if (!ts.isTypeLiteralNode(type)) return undefined;
  const kind = type.members.find((member) => member.name?.getText() === 'kind');
  return kind && ts.isPropertySignature(kind) ? literalOf(kind.type) : undefined;
}

function commentBefore(source: ts.SourceFile, node: ts.Node): string {
  const text = source.text;
  const before = text.slice(0, node.getStart()).trimEnd();
  // The comment is before the `|` of its member.
  const at = before.endsWith('|') ? before.slice(0, -1).trimEnd() : before;
  if (!at.endsWith('*/')) return '';
  return at
    .slice(at.lastIndexOf('/**') + 3, -2)
    .replaceAll(/\s*\n\s*\*\s*/g, ' ')
    .trim();
}

function importedFrom(source: ts.SourceFile, name: string): string {
  for (const statement of source.statements) {
    if (!ts.isImportDeclaration(statement) || !ts.isStringLiteral(statement.moduleSpecifier)) {
      continue;
    }
    const bindings = statement.importClause?.namedBindings;
    if (!bindings || !ts.isNamedImports(bindings)) continue;
    if (!bindings.elements.some((element) => element.name.text === name)) continue;
    const path = join(dirname(source.fileName), statement.moduleSpecifier.text);
    if (existsSync(path)) return path;
  }
  throw new Error(`${source.fileName} does not declare ${name}`);
}
