// What each language is built, checked and packed with. A gate that has no command here needs one of the caller's own.

export const gates = ['lint', 'unit-tests', 'coverage', 'security-scan', 'licences'] as const

/** What a component can have a command for. */
export const commandNames = ['prepare', 'build', ...gates, 'package'] as const
export type CommandName = (typeof commandNames)[number]

type LanguageTemplate = {
  /** Two components with the same tool in one folder would get in each other's way. */
  readonly tool: string
  /** Fails unless the version that is there begins with $VERSION. */
  readonly toolchain: string
  readonly commands: { readonly [name in CommandName]?: string }
}

const versionCheck = (question: string): string => `said=$(${question})
[[ "$said" =~ [0-9]+(\\.[0-9]+)* ]]
found=\${BASH_REMATCH[0]}
case "$found." in
  "$VERSION".*) echo "found $found" ;;
  *) echo "expected version $VERSION, found $found" >&2; exit 1 ;;
esac`

const copyleft = ['GPL-2.0', 'GPL-3.0', 'AGPL-3.0']
  .flatMap((name) => [name, `${name}-only`, `${name}-or-later`])
  .join(';')

const node: LanguageTemplate = {
  tool: 'npm',
  toolchain: versionCheck('node --version'),
  commands: {
    prepare: 'npm ci --no-audit --no-fund',
    build: 'npm run build --if-present',
    lint: 'npm run lint',
    'unit-tests': 'npm test',
    coverage: 'npx --no-install c8 --check-coverage --lines "$MINIMUM" npm test',
    'security-scan': 'npm audit --audit-level=high',
    licences: `npx --no-install license-checker-rseidelsohn --production --failOn '${copyleft}'`,
    package: 'npm pack',
  },
}

const shellFiles = "find . -name '*.sh' -not -path '*/node_modules/*' -print0"

export const languages = {
  node,
  typescript: {
    ...node,
    commands: { ...node.commands, build: 'npx --no-install tsc --noEmit\nnpm run build --if-present' },
  },
  python: {
    tool: 'pip',
    toolchain: versionCheck('python3 --version'),
    commands: {
      prepare: `python3 -m venv .venv
if [ -f requirements.txt ]; then .venv/bin/python -m pip install --requirement requirements.txt
else .venv/bin/python -m pip install .
fi`,
      build: ".venv/bin/python -m compileall -q -x '/\\.venv/' .",
      lint: '.venv/bin/python -m ruff check .',
      'unit-tests': '.venv/bin/python -m pytest',
      coverage: '.venv/bin/python -m pytest --cov --cov-fail-under="$MINIMUM"',
      'security-scan': '.venv/bin/python -m pip_audit',
      licences: ".venv/bin/python -m piplicenses --partial-match --fail-on 'GPL'",
      package: '.venv/bin/python -m build',
    },
  },
  go: {
    tool: 'go',
    toolchain: versionCheck('go version'),
    commands: {
      prepare: 'go mod download',
      build: 'go build ./...',
      lint: 'go vet ./...',
      'unit-tests': 'go test ./...',
      coverage: `go test -coverprofile=coverage.out ./...
go tool cover -func=coverage.out | awk '/^total:/ { exit ($3 + 0 < ENVIRON["MINIMUM"] + 0) }'`,
      'security-scan': 'govulncheck ./...',
      licences: 'go-licenses check ./... --disallowed_types=forbidden,restricted',
      package: 'mkdir -p dist\ngo build -o dist/ ./...',
    },
  },
  java: {
    tool: 'maven',
    toolchain: versionCheck('java -version 2>&1'),
    commands: {
      prepare: 'mvn -B -q dependency:go-offline',
      build: 'mvn -B -q compile',
      lint: 'mvn -B -q checkstyle:check',
      'unit-tests': 'mvn -B -q test',
      'security-scan': 'mvn -B -q org.owasp:dependency-check-maven:check -DfailBuildOnCVSS=7',
      package: 'mvn -B -q package -DskipTests',
    },
  },
  rust: {
    tool: 'cargo',
    toolchain: versionCheck('rustc --version'),
    commands: {
      prepare: 'cargo fetch --locked',
      build: 'cargo build --locked',
      lint: 'cargo clippy --locked --all-targets -- -D warnings',
      'unit-tests': 'cargo test --locked',
      coverage: 'cargo llvm-cov --locked --fail-under-lines "$MINIMUM"',
      'security-scan': 'cargo audit',
      licences: 'cargo deny check licenses',
      package: 'cargo package --locked',
    },
  },
  shell: {
    tool: 'bash',
    toolchain: versionCheck('bash --version'),
    commands: {
      build: `${shellFiles} | xargs -0 -r -n 1 bash -n`,
      lint: `${shellFiles} | xargs -0 -r shellcheck`,
      'unit-tests': 'bats test',
    },
  },
} as const satisfies { readonly [language: string]: LanguageTemplate }

export type Language = keyof typeof languages
export const languageNames = Object.keys(languages) as [Language, ...Language[]]

export const commandsOf = (language: Language): LanguageTemplate['commands'] => languages[language].commands
