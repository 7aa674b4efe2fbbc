/** The types of nodes that config.json can ask for (config-linux.md "Devices"); "u" is another word for "c" (mknod(1)). */
export const DEVICE_TYPES = { c: "character", u: "character", b: "block", p: "fifo" } as const;

/** The types that a device rule is about (config-linux.md "Allowed Device list"): "a", and nothing, is all devices. */
export const RULE_TYPES = { "": "a", a: "a", b: "b", c: "c" } as const;
