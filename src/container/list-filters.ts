import { STATUSES } from "../state/record";
import { expressionOf, type Filters, halves, oneOf, wrongFilter } from "./filters";
import type { Listed } from "./list";

const named = (value: string) => {
  const expression = expressionOf("id", value);
  return ({ id }: Listed) => expression.test(id);
};
const inSandbox = (value: string) => (listed: Listed) => listed.sandbox === value;
const annotated = (value: string) => {
  const [key = "", wanted] = halves(value);
  return ({ annotations }: Listed) =>
    Object.hasOwn(annotations, key) && (wanted === undefined || annotations[key] === wanted);
};

/** Filters of `list`, with podman's and docker's words. */
export const CONTAINER_FILTERS: Filters<Listed> = {
  id: named,
  name: named,
  status(value) {
    const wanted = oneOf("status", value, STATUSES);
    return ({ status }) => status === wanted;
  },
  sandbox: inSandbox,
  pod: inSandbox,
  bundle: (value) => (listed) => listed.bundle === value,
  owner: (value) => (listed) => listed.owner === value,
  exited(value) {
    if (!/^\d{1,3}$/.test(value)) throw wrongFilter("exited", value, "an exit status");
    return ({ exitCode }) => exitCode === Number(value);
  },
  oom(value) {
    if (value !== "true" && value !== "false") throw wrongFilter("oom", value, "true or false");
    return ({ oomKilled }) => oomKilled === (value === "true");
  },
  annotation: annotated,
  label: annotated,
};
