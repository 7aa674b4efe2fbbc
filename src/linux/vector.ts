import { address, cString } from "./syscall";

/** A NULL-terminated array of C strings, as execve takes it, and the memory that it points to, which must stay alive. */
export function stringVector(texts: readonly string[]): { pointers: BigUint64Array; memory: Uint8Array[] } {
  const memory = texts.map(cString);
  return { pointers: new BigUint64Array([...memory.map((text) => BigInt(address(text))), 0n]), memory };
}
