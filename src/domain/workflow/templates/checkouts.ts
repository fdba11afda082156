import type { Template } from './template.ts'

const why = 'Puts the project into the folder `project` of the working directory, which all stages of a run share.'

/** One of them applies, by where the project comes from. */
export const checkouts: readonly Template[] = [
  {
    name: 'checkout-folder',
    phase: 'checkout',
    of: 'project',
    id: 'checkout',
    why: `${why} It is copied, so that the run cannot change it.`,
    input: {
      required: ['source'],
      properties: { source: { type: 'string', minLength: 1, description: 'Absolute path of the project.' } },
    },
    stage: {
      uses: 'shell',
      timeout: '10m',
      with: { env: { SOURCE: '<folder>' }, run: 'rm -rf project\ncp -R -- "$SOURCE" project' },
    },
  },
  {
    name: 'checkout-git',
    phase: 'checkout',
    of: 'project',
    id: 'checkout',
    why: `${why} Only the commit that is built is fetched; the network may fail, so it is tried three times.`,
    input: {
      required: ['repository'],
      properties: {
        repository: { type: 'string', minLength: 1, description: 'Address of the git repository.' },
        ref: {
          type: 'string',
          minLength: 1,
          description: 'A branch, a tag or a commit; the default branch if absent.',
        },
      },
    },
    stage: {
      uses: 'shell',
      timeout: '10m',
      retry: { maxAttempts: 3, backoff: { initial: '5s' } },
      with: {
        env: { REPOSITORY: '<repository>', REF: '<ref>', GIT_TERMINAL_PROMPT: '0' },
        run: [
          'rm -rf project',
          'git init --quiet project',
          'git -C project fetch --quiet --depth 1 -- "$REPOSITORY" "$REF"',
          'git -C project checkout --quiet --detach FETCH_HEAD',
        ].join('\n'),
      },
    },
  },
]
