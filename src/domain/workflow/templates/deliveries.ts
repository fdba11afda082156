import type { Template } from './template.ts'

/** How a result goes out: environment by environment, in the order of the description, and a word to whoever wants to know. */
export const deliveries: readonly Template[] = [
  {
    name: 'approval',
    phase: 'approve',
    of: 'environment',
    id: 'approve-<environment>',
    why: 'Waits until one of the approvers lets the run into <environment>, and ends it if none does in time.',
    stage: { uses: 'approval', with: { approvers: '<approvers>', timeout: '<approval-timeout>' } },
  },
  {
    name: 'deploy',
    phase: 'deploy',
    of: 'environment',
    id: 'deploy-<environment>',
    why: 'Brings what was built to <environment>. It is not tried again by itself: half a deployment is for people to look at.',
    stage: { uses: 'shell', timeout: '30m', with: { cwd: 'project', env: '<deploy-env>', run: '<deploy>' } },
  },
  {
    name: 'settle',
    phase: 'settle',
    of: 'environment',
    id: 'settle-<environment>',
    why: 'Gives <environment> time to come up before anything is asked of it. No worker is held meanwhile.',
    stage: { uses: 'wait', with: { duration: '<settle>' } },
  },
  {
    name: 'verify',
    phase: 'verify',
    of: 'environment',
    id: 'verify-<environment>',
    why: 'Asks <environment> whether it answers with success, up to five times; nothing goes further before it does.',
    stage: {
      uses: 'http',
      timeout: '1m',
      retry: { maxAttempts: 5, backoff: { initial: '2s', max: '30s' } },
      with: { url: '<url>' },
    },
  },
  {
    name: 'notify',
    phase: 'notify',
    of: 'project',
    id: 'notify',
    why: 'Tells how the run went, however its last stages ended.',
    stage: {
      uses: 'http',
      trigger: 'all-done',
      timeout: '1m',
      retry: { maxAttempts: 3, backoff: { initial: '2s' } },
      with: { url: '<notify-url>', method: 'POST', body: '<report>' },
    },
  },
]
