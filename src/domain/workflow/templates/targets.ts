import type { Template } from './template.ts'

/** Packs the folder $source beside the project and says where it is, seen from the project. */
const pack = `archive="../$NAME-$KIND.tar.gz"
tar -czf "$archive" --exclude=.git --exclude=node_modules --exclude=.venv -C "$source" .
sha256=$(sha256sum "$archive" | cut -d ' ' -f 1)
printf '{"archive":"%s","sha256":"%s"}\\n' "$archive" "$sha256" > "$MILLRACE_OUTPUT"`

/** What is made of the project as a whole, once the gates of every component have let it through. */
export const targets: readonly Template[] = [
  {
    name: 'container',
    phase: 'package',
    of: 'project',
    id: 'image',
    why: 'Builds a container image, tagged with the run, so that what is deployed can be traced back to it.',
    provides: { IMAGE: 'image' },
    stage: {
      uses: 'shell',
      timeout: '30m',
      with: {
        cwd: 'project',
        env: { NAME: '<workflow>', RUN: '${{ execution.id }}', FOLDER: '<container>' },
        run: [
          'docker build --tag "$NAME:$RUN" -- "$FOLDER"',
          `printf '{"image":"%s"}\\n' "$NAME:$RUN" > "$MILLRACE_OUTPUT"`,
        ].join('\n'),
      },
    },
  },
  {
    name: 'archive',
    phase: 'package',
    of: 'project',
    id: 'archive',
    why: 'Packs the whole project into one archive with a checksum.',
    provides: { ARCHIVE: 'archive', ARCHIVE_SHA256: 'sha256' },
    stage: {
      uses: 'shell',
      timeout: '15m',
      with: {
        cwd: 'project',
        env: { NAME: '<workflow>', KIND: 'archive', FOLDER: '<archive>' },
        run: `source=$FOLDER\n${pack}`,
      },
    },
  },
  {
    name: 'static-site',
    phase: 'package',
    of: 'project',
    id: 'site',
    why: 'Packs the pages that the build left in `dist`, `build`, `public` or `_site`, the first that has an index.html.',
    provides: { SITE: 'archive', SITE_SHA256: 'sha256' },
    stage: {
      uses: 'shell',
      timeout: '15m',
      with: {
        cwd: 'project',
        env: { NAME: '<workflow>', KIND: 'site', FOLDER: '<static-site>' },
        run: `source=
for folder in dist build public _site; do
  if [ -z "$source" ] && [ -f "$FOLDER/$folder/index.html" ]; then source="$FOLDER/$folder"; fi
done
if [ -z "$source" ]; then echo "no folder has an index.html" >&2; exit 1; fi
${pack}`,
      },
    },
  },
]
