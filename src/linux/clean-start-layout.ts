/**
 * What the code that the build puts before Bun's first instruction and hako's own code both know of each other. It lies right
 * before that code's entry, which the kernel tells of in the auxiliary vector: these bytes, by how much the record and the code
 * that it goes on to lie behind the entry (8 bytes each).
 */
export const MAGIC = 0x6e61656c636f6b61n; // "akoclean"
export const HEADER = { magic: 0, record: 8, next: 16, size: 24 } as const;

/** The record: a set of ignored signals, a set of blocked ones, a descriptor of the working directory plus one (0: none). */
export const RECORD = { ignored: 0, blocked: 8, directory: 16, size: 24 } as const;

/**
 * The only variables of the environment that Bun gets to see: those of hako's own stage in the container. Without concurrent
 * compilation and collection it has one thread, so a pids limit of 1 does not hurt it; memory that is prepared for more objects
 * would never be used.
 */
export const KEPT_VARIABLES = [
  "BUN_JSC_useConcurrentGC=0",
  "BUN_JSC_useConcurrentJIT=0",
  "BUN_JSC_useWarmUpMarkedBlocks=0",
] as const;
