import { exists } from "../../../linux/file/file";
import { findHostProgram } from "../../../linux/process/execute";

export interface FoundProgram {
  path: string;
  from: "settings" | "host";
}

/** The first of these that is there: paths, and names that are looked for in PATH. */
export function firstProgram(places: readonly string[]): string | undefined {
  for (const place of places) {
    const path = place.includes("/") ? (exists(place) ? place : undefined) : findHostProgram(place);
    if (path !== undefined) return path;
  }
  return undefined;
}
