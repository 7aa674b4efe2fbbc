/** The operand of commands about one container. */
export const CONTAINER = {
  type: "positional",
  required: true,
  valueHint: "CONTAINER",
  description: "id of the container",
} as const;
