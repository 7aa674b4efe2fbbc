/** The types of nodes that config.json can ask for (config-linux.md "Devices"); "u" is another word for "c" (mknod(1)). */
export const DEVICE_TYPES = { c: "character", u: "character", b: "block", p: "fifo" } as const;

/**
 * The types of devices that a device rule can be about (config-linux.md "Allowed Device list"). "a" is all devices, and so is a
 * missing type.
 */
export const RULE_TYPES = { "": "a", a: "a", b: "b", c: "c" } as const;
