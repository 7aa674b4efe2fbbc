// The flags of scripts/soak.

export const SOAK_OPTIONS = {
  containers: { type: "string", default: "1000" },
  workers: { type: "string", default: "4" },
  kills: { type: "string", default: "10" },
  seed: { type: "string", default: "1" },
  minutes: { type: "string", default: "600" },
  rootless: { type: "boolean", default: false },
  delegated: { type: "boolean", default: false },
} as const;
