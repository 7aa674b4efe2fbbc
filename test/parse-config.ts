import { type Config, problemsError, readConfig } from "../src/oci/config";

/** The config in a text; a wrong field is an error that names it. */
export function parseConfig(source: string, file: string): Config {
  const read = readConfig(source, file);
  if ("config" in read) return read.config;
  throw problemsError(read.problems, file);
}
