import { expressionOf, type Filters, oneOf } from "./filters";
import { LIVELINESS, type Sandbox } from "./sandboxes";

const named = (value: string) => {
  const expression = expressionOf("id", value);
  return ({ id }: Sandbox) => expression.test(id);
};

/** Filters of `sandbox list`. */
export const SANDBOX_FILTERS: Filters<Sandbox> = {
  id: named,
  name: named,
  status(value) {
    const wanted = oneOf("status", value, LIVELINESS);
    return ({ status }) => status === wanted;
  },
  container: (value) => (sandbox) => sandbox.containers.some(({ id }) => id === value),
};
