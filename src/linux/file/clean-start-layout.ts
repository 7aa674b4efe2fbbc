/**
 * What the code that the build puts before Bun's first instruction and hako's own code both know of each other. It lies right
 * before that code's entry, which the kernel tells of in the auxiliary vector: these bytes, by how much the record and the code
 * that it goes on to lie behind the entry (8 bytes each).
 */
export const CLEAN_START_MAGIC = 0x6e61656c636f6b61n; // "akoclean"
export const CLEAN_START_HEADER = { magic: 0, record: 8, next: 16, size: 24 } as const;

/** The record: a set of ignored signals, a set of blocked ones, a descriptor of the working directory plus one (0: none). */
export const CLEAN_START_RECORD = { ignored: 0, blocked: 8, directory: 16, size: 24 } as const;
