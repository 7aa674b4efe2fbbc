import { HakoError } from "../base/errors";

/** What an archive or an image says can't be true, or can't be taken. */
export function wrongArchive(message: string, hint?: string): HakoError {
  return new HakoError({ code: "config", message, hint });
}
