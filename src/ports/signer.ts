/** Signs with a key of its own, Ed25519 (RFC 8032). */
export type Signer = {
  /** The first 16 hexadecimal digits of the SHA-256 of the public key (SPKI, DER). */
  readonly keyId: string
  /** SPKI, PEM. */
  readonly publicKey: string
  /** Hexadecimal digits, of the bytes of the text in UTF-8. */
  sign(text: string): string
}
