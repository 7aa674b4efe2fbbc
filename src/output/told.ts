import * as v from "valibot";

/** A schema with the sentence that tells what it is: to editors, and to users of the TypeScript library. */
export function told<S extends v.GenericSchema>(schema: S, description: string) {
  return v.pipe(schema, v.description(description));
}
