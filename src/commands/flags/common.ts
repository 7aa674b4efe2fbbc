/** Operands and flags that several commands have. */
export const CONTAINER = {
  type: "positional",
  required: true,
  valueHint: "CONTAINER",
  description: "id of the container",
  completes: "containers",
} as const;

/** A container whose first process there is. */
export const LIVING_CONTAINER = { ...CONTAINER, states: ["created", "running", "paused"] } as const;

/** The id of a container that is to be made. Ids of existing containers are not offered: they would be refused. */
export const NEW_CONTAINER = {
  ...CONTAINER,
  description: "id that the container gets",
  completes: [],
} as const;

export const BUNDLE = {
  type: "string",
  alias: "b",
  valueHint: "DIR",
  description: "directory with config.json; the working directory if not given",
  default: ".",
} as const;

export const PIDFD_SOCKET = {
  type: "string",
  valueHint: "SOCK",
  description: "unix socket that receives a descriptor of the process (pidfd_open(2))",
} as const;

/** Flags of commands that print a table for people or JSON for programs. */
export const FORMAT_FLAGS = {
  format: {
    type: "enum",
    alias: "f",
    options: ["table", "json"] as string[],
    description: "form of the output",
    default: "table",
  },
  json: { type: "boolean", description: "the same as --format json" },
} as const;

export function wantsJson(values: { format: string; json: boolean }): boolean {
  return values.json || values.format === "json";
}
