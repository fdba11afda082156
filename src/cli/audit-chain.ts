// Verifies an export of the audit by itself: it shares no code with the program that made it. Every byte counts: the text of a record
// is hashed as it stands, and all around it has one spelling.
import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto'

/** What is wrong, and in which line (from 1). */
export type AuditFault = { readonly line: number; readonly what: string }

export type AuditVerdict = {
  readonly faults: readonly AuditFault[]
  readonly namespace: string
  /** The first and the last record that were checked; `to` is before `from` where there are none. */
  readonly from: number
  readonly to: number
  /** Where and when the export says it was made, if that is signed by the key that was given. */
  readonly signedAt: string | undefined
}

/** A checkpoint that was kept elsewhere. */
export type KnownCheckpoint = { readonly namespace: string; readonly sequence: number; readonly hash: string }

const HEAD = /^\{"audit":(\{"version":1,"namespace":"[a-z0-9-]+","from":[1-9]\d*,"previous":"[0-9a-f]{64}"\})\}$/
const RECORD = /^\{"record":(\{.*\}),"hash":"([0-9a-f]{64})"\}$/s
const CHECKPOINT = /^\{"checkpoint":(\{.*?\})(?:,"key":"([0-9a-f]{16})","signature":"([0-9a-f]{128})")?\}$/s
/** Many faults have one cause; the first ones say which. */
const MOST_FAULTS = 20

type Head = { readonly namespace: string; readonly from: number; readonly previous: string }
type Checkpoint = Head & { readonly sequence: number; readonly hash: string; readonly at: string }

export class AuditChain {
  readonly #key: KeyObject | undefined
  readonly #known: readonly KnownCheckpoint[]
  readonly #faults: AuditFault[] = []
  #line = 0
  #head: Head | undefined
  #last = { sequence: 0, hash: '' }
  #checkpoint: Checkpoint | undefined
  #signedAt: string | undefined

  /** @param options.publicKey SPKI in PEM @throws where it is no public key of Ed25519 */
  constructor({ publicKey, known = [] }: { publicKey?: string; known?: readonly KnownCheckpoint[] }) {
    this.#key = publicKey === undefined ? undefined : createPublicKey(publicKey)
    if (this.#key !== undefined && this.#key.asymmetricKeyType !== 'ed25519')
      throw new Error(`a key of ${this.#key.asymmetricKeyType}, not of Ed25519`)
    this.#known = known
  }

  /** The next line, without its end. */
  take(line: Buffer): void {
    this.#line++
    const text = line.toString('utf8')
    if (!Buffer.from(text).equals(line)) {
      this.#accuse('is not UTF-8')
      return
    }
    if (this.#line === 1) this.#takeHead(text)
    else if (this.#head !== undefined) this.#takeNext(text, this.#head)
  }

  #takeNext(text: string, head: Head): void {
    if (this.#checkpoint !== undefined) {
      this.#accuse('comes after the checkpoint, which ends an export')
      return
    }
    if (text.startsWith('{"checkpoint":')) this.#takeCheckpoint(text, head)
    else this.#takeRecord(text, head)
  }

  /** @param complete whether the last line had its end */
  end(complete: boolean): AuditVerdict {
    if (!complete) this.#accuse('has no end: the export was cut in the middle of it')
    if (this.#line === 0) this.#accuse('the export is empty', 1)
    else if (this.#checkpoint === undefined)
      this.#accuse('the export ends without a checkpoint: its end was cut', this.#line + 1)
    const { namespace = '', from = 1 } = this.#head ?? {}
    for (const { namespace: of, sequence } of this.#known) {
      if (of !== namespace) this.#accuse(`a checkpoint of ${of} says nothing of ${namespace}`, 1)
      else if (sequence < from - 1)
        this.#accuse(`a known checkpoint is at ${sequence}, before the export begins: what was there cannot be seen`, 1)
      if (of === namespace && this.#last.sequence < sequence)
        this.#accuse(
          `a known checkpoint is at ${sequence}, the export ends at ${this.#last.sequence}: its end was cut`,
          this.#line + 1,
        )
    }
    return { faults: this.#faults, namespace, from, to: this.#last.sequence, signedAt: this.#signedAt }
  }

  #takeHead(text: string): void {
    const [, head] = HEAD.exec(text) ?? []
    if (head === undefined) {
      this.#accuse('is not the first line of an export of the audit')
      return
    }
    this.#head = JSON.parse(head) as Head
    this.#last = { sequence: this.#head.from - 1, hash: this.#head.previous }
    if (this.#head.from === 1 && this.#head.previous !== '0'.repeat(64))
      this.#accuse('says that something was before the first record')
    this.#compareKnown()
  }

  #takeRecord(text: string, { namespace }: Head): void {
    const [, record, hash] = RECORD.exec(text) ?? []
    const parsed = record === undefined ? undefined : parse(record)
    if (record === undefined || hash === undefined || parsed === undefined) {
      this.#accuse('is no record: it was changed, or put in')
      return
    }
    const due = this.#last.sequence + 1
    if (parsed.namespace !== namespace)
      this.#accuse(`is a record of namespace ${String(parsed.namespace)}, not ${namespace}`)
    if (parsed.sequence !== due)
      this.#accuse(
        `is record ${String(parsed.sequence)} where ${due} is due: records are missing, were put in, or stand elsewhere`,
      )
    if (createHash('sha256').update(this.#last.hash).update(record).digest('hex') !== hash)
      this.#accuse(
        `record ${String(parsed.sequence)} does not give the hash that stands with it: it or the one before was changed`,
      )
    this.#last = { sequence: typeof parsed.sequence === 'number' ? parsed.sequence : due, hash }
    this.#compareKnown()
  }

  #compareKnown(): void {
    for (const { namespace, sequence, hash } of this.#known)
      if (namespace === this.#head?.namespace && sequence === this.#last.sequence && hash !== this.#last.hash)
        this.#accuse(
          `record ${sequence} has another hash than the known checkpoint: what is up to there was written anew`,
        )
  }

  #takeCheckpoint(text: string, head: Head): void {
    const [, signed, keyId, signature] = CHECKPOINT.exec(text) ?? []
    const checkpoint = signed === undefined ? undefined : (parse(signed) as Checkpoint | undefined)
    if (signed === undefined || checkpoint === undefined) {
      this.#accuse('is no checkpoint: it was changed')
      return
    }
    this.#checkpoint = checkpoint
    if (checkpoint.namespace !== head.namespace || checkpoint.from !== head.from)
      this.#accuse('the checkpoint is of another export')
    if (checkpoint.sequence !== this.#last.sequence || checkpoint.hash !== this.#last.hash)
      this.#accuse(
        `the checkpoint is at record ${checkpoint.sequence}, the export ends at ${this.#last.sequence}, or with another hash`,
      )
    if (this.#key !== undefined) this.#checkSignature(this.#key, signed, checkpoint, keyId, signature)
  }

  #checkSignature(key: KeyObject, signed: string, { at }: Checkpoint, keyId?: string, signature?: string): void {
    if (keyId === undefined || signature === undefined) {
      this.#accuse('the checkpoint is not signed')
      return
    }
    const own = createHash('sha256')
      .update(key.export({ type: 'spki', format: 'der' }))
      .digest('hex')
      .slice(0, 16)
    if (keyId !== own) {
      this.#accuse(`the checkpoint is signed with the key ${keyId}, the one given is ${own}`)
      return
    }
    if (!verify(null, Buffer.from(signed), key, Buffer.from(signature, 'hex'))) {
      this.#accuse('the signature of the checkpoint is not that of the key')
      return
    }
    this.#signedAt = at
  }

  #accuse(what: string, line = this.#line): void {
    if (this.#faults.length < MOST_FAULTS) this.#faults.push({ line, what })
  }
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return undefined
  }
}
