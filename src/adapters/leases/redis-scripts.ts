// The transitions of leases, each one script, so that it is one moment for everybody. Time is the server's alone.
//
// A lease is a hash: `owner`, `until`, `revoked`, `confirmed`. It stays for `KEPT_MS` after its time, so that one which has merely run out can be
// told from one that never was; `unheld` deletes what it reports, and what it has not reported can still be renewed.
//
// The store's own record says what the store itself can vouch for: `settled` is when a lease that has run out counts as ended, and
// `whole` when one that is not there counts as never given. Both move on by one grace where the store has been away from everybody
// (no script ran for `gap`) or has lost what it had (a client remembers another `epoch`).

/** How long a lease that has run out is remembered. An outage that was longer counts as if the store had lost everything. */
const KEPT_MS = 3_600_000

/** `KEYS[1]` is the store's own record. Answers are `[server time, epoch, answer]`; the answer `-1` means that it cannot tell yet. */
const before = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local known, fresh, grace, gap = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local deadline, unsure = tonumber(ARGV[5]), ARGV[6] == '1'

local record = redis.call('HMGET', KEYS[1], 'epoch', 'seen', 'settled', 'whole')
local epoch = record[1] or fresh
local seen = tonumber(record[2]) or now
-- At most one grace from now, also where the clock of the server was set back.
local settled = math.min(tonumber(record[3]) or 0, now + grace)
local whole = math.min(tonumber(record[4]) or 0, now + grace)
if math.abs(now - seen) > gap then settled = now + grace end
if (known ~= '' and known ~= epoch) or now - seen > ${KEPT_MS} then
  settled = now + grace
  whole = now + grace
end
redis.call('HSET', KEYS[1], 'epoch', epoch, 'seen', now, 'settled', settled, 'whole', whole)
-- It lay in a buffer until whoever sent it has given it up.
if deadline > 0 and now > deadline then return {now, epoch, -1} end

local function read(key)
  local found = redis.call('HMGET', key, 'owner', 'until', 'revoked', 'ttl', 'confirmed')
  if not found[1] then return nil end
  local left = tonumber(found[2]) - now
  if left > tonumber(found[4]) then
    left = tonumber(found[4])
    redis.call('HSET', key, 'until', now + left)
  end
  return { owner = found[1], left = left, revoked = found[3] == '1', confirmed = found[5] == '1' }
end
local function write(key, owner, ttl, revoked, confirmed)
  redis.call('HSET', key, 'owner', owner, 'until', now + ttl, 'ttl', ttl,
    'revoked', revoked and '1' or '0', 'confirmed', confirmed and '1' or '0')
  redis.call('PEXPIRE', key, ttl + ${KEPT_MS})
end
local calm = now >= settled and not unsure
local complete = now >= whole
`

/** A whole script: what comes before, then `body`, whose own arguments begin at `ARGV[7]`. */
const script = (body: string): string => `${before}${body}`

export const scripts = {
  /** Nothing but the time, and that somebody was there. */
  look: script(`return {now, epoch, 0}`),

  claim: script(`
local owner, ttl = ARGV[7], tonumber(ARGV[8])
local lease = read(KEYS[2])
if lease and lease.owner == owner then
  if lease.revoked then return {now, epoch, 0} end
elseif lease and lease.owner ~= '' and lease.left > 0 then return {now, epoch, 0}
elseif lease and not calm then return {now, epoch, -1}
elseif not complete then return {now, epoch, -1} end
write(KEYS[2], owner, ttl, false, false)
return {now, epoch, 1}`),

  /** Answers a number a key: 2 where it is lost, else 1 where it is revoked, and 4 more where it is confirmed. */
  renew: script(`
local owner, ttl = ARGV[7], tonumber(ARGV[8])
local answer = {}
for i = 2, #KEYS do
  local lease = read(KEYS[i])
  if lease and lease.owner ~= owner and not (lease.owner == '' and lease.left > 0) then answer[i - 1] = 2
  elseif not lease and complete then answer[i - 1] = 2
  else
    local revoked = lease ~= nil and lease.revoked
    local confirmed = lease ~= nil and lease.confirmed
    write(KEYS[i], owner, ttl, revoked, confirmed)
    answer[i - 1] = (revoked and 1 or 0) + (confirmed and 4 or 0)
  end
end
return {now, epoch, answer}`),

  release: script(`
local lease = read(KEYS[2])
if lease and lease.owner == ARGV[7] then redis.call('DEL', KEYS[2]) end
return {now, epoch, 0}`),

  confirm: script(`
local lease = read(KEYS[2])
if lease and lease.owner == ARGV[7] and (lease.left > 0 or not calm) then redis.call('HSET', KEYS[2], 'confirmed', '1') end
return {now, epoch, 0}`),

  /** Where its lease may have been lost with the store, a lease without an owner keeps the word for the holder. */
  revoke: script(`
local lease = read(KEYS[2])
if lease and (lease.left > 0 or not calm) then redis.call('HSET', KEYS[2], 'revoked', '1')
elseif not lease and not complete then write(KEYS[2], '', whole - now, true, false) end
return {now, epoch, 0}`),

  /** Answers the numbers of those keys that nobody holds, from 1. */
  unheld: script(`
local answer = {}
for i = 2, #KEYS do
  local lease = read(KEYS[i])
  if not lease or lease.owner == '' or lease.left <= 0 then answer[#answer + 1] = i - 1 end
end
if #answer == 0 then return {now, epoch, answer} end
if not calm or not complete then return {now, epoch, -1} end
for _, i in ipairs(answer) do redis.call('DEL', KEYS[i + 1]) end
return {now, epoch, answer}`),

  /** Answers owner and 0 or 1 of each key; an empty owner where nobody holds it. */
  held: script(`
local answer = {}
for i = 2, #KEYS do
  local lease = read(KEYS[i])
  local isHeld = lease and lease.left > 0
  answer[#answer + 1] = isHeld and lease.owner or ''
  answer[#answer + 1] = isHeld and lease.revoked and '1' or '0'
end
return {now, epoch, answer}`),
} as const

export type ScriptName = keyof typeof scripts
