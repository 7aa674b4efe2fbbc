/** personality(2): the execution domains of config.json. */
export const PERSONALITIES = { LINUX: 0, LINUX32: 0x0008 } as const;
