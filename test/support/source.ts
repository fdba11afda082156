// The program's own files as text, for the rules that no tool knows.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

export type SourceFile = { readonly path: string; readonly text: string }

export type Import = {
  /** As written. */
  readonly specifier: string
  /** A path from the root of the repository where the specifier is relative, else the name of the package. */
  readonly target: string
  readonly typeOnly: boolean
}

const root = join(import.meta.dirname, '../..')
const folders = ['src', 'test', 'bench', 'migrations', 'scripts', 'examples']

export function sourceFiles(): SourceFile[] {
  return folders
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => `${folder}/${name}`),
    )
    .filter((path) => /\.(ts|js)$/.test(path) && !path.includes('node_modules/'))
    .sort()
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }))
}

/** The formatter puts every comment at the start of a line or behind a space, which spares a parser. */
export const codeOf = (text: string): string =>
  text.replace(/^\s*\/\*[\s\S]*?\*\/|(^|\s)\/\/.*/gm, (comment) => comment.replace(/[^\n]/g, ''))

const STATEMENT = /^\s*(?:import|export)\s+(type\s+)?([^'";]*?)\s*from\s+'([^']+)'|^\s*import\s+'([^']+)'/gm
const DYNAMIC = /\bimport\(\s*'([^']+)'/g

export function importsOf({ path, text }: SourceFile): Import[] {
  const code = codeOf(text)
  const named = [...code.matchAll(STATEMENT)].map(([, type, names = '', from, bare]) => ({
    specifier: (from ?? bare) as string,
    typeOnly: type !== undefined || onlyTypes(names),
  }))
  const dynamic = [...code.matchAll(DYNAMIC)].map(([, specifier]) => ({ specifier: specifier!, typeOnly: false }))
  return [...named, ...dynamic].map(({ specifier, typeOnly }) => ({
    specifier,
    typeOnly,
    target: specifier.startsWith('.') ? normalize(join(dirname(path), specifier)) : specifier,
  }))
}

/** Whether a list such as `{ type A, type B }` brings in nothing that runs. */
function onlyTypes(names: string): boolean {
  const list = /^\{([^}]*)\}$/.exec(names.trim())?.[1]
  if (list === undefined) return false
  const members = list.split(',').filter((name) => name.trim() !== '')
  return members.every((name) => name.trim().startsWith('type '))
}
