/** Operands and flags that several commands have. */
export const CONTAINER = {
  type: "positional",
  required: true,
  valueHint: "CONTAINER",
  description: "id of the container",
} as const;

export const BUNDLE = {
  type: "string",
  alias: "b",
  valueHint: "DIR",
  description: "directory with config.json; the working directory if not given",
  default: ".",
} as const;

export const FORMAT = {
  type: "enum",
  alias: "f",
  options: ["table", "json"] as string[],
  description: "form of the output",
  default: "table",
} as const;
