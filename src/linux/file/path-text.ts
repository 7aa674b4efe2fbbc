/** Paths as text: nothing is looked up. As node:path has it, which takes half a millisecond to load, in every command. */
import { workingDirectory } from "./working-directory";

/** The components of a path, without empty ones and ".". */
export function components(path: string): string[] {
  const names: string[] = [];
  // without a callback for each: a policy makes some hundred lists
  for (const name of path.split("/")) if (name !== "" && name !== ".") names.push(name);
  return names;
}

/** A path as the root's owner would write it: absolute, without ".", ".." and double slashes. */
export function cleanPath(path: string): string {
  // most are clean: to see that costs less than an array of names
  const ended = `${path}/`;
  const isClean = !ended.includes("//") && !ended.includes("/./") && !ended.includes("/../");
  if (isClean && path.startsWith("/")) return path;
  const names: string[] = [];
  for (const name of components(path)) {
    if (name === "..") names.pop();
    else names.push(name);
  }
  return `/${names.join("/")}`;
}

/** Whether a clean path is another one or below it. */
export function isAtOrBelow(path: string, top: string): boolean {
  return path.startsWith(top) && (path.length === top.length || top === "/" || path[top.length] === "/");
}

/** Without empty, "." and, where one is before them, ".." parts; a slash at the end stays. "." if nothing is left. */
export function normalize(path: string): string {
  const isAbsolute = path.startsWith("/");
  const parts: string[] = [];
  for (const part of components(path)) {
    if (part !== "..") parts.push(part);
    else if (parts.length > 0 && parts.at(-1) !== "..") parts.pop();
    else if (!isAbsolute) parts.push(part);
  }
  const text = parts.join("/");
  if (text === "") return isAbsolute ? "/" : path.endsWith("/") ? "./" : ".";
  return `${isAbsolute ? "/" : ""}${text}${path.endsWith("/") ? "/" : ""}`;
}

/** One behind the other, normalized. */
export function join(...parts: readonly string[]): string {
  let joined = "";
  for (const part of parts) if (part !== "") joined = joined === "" ? part : `${joined}/${part}`;
  return normalize(joined);
}

/**
 * The absolute path of the last argument, relative to those before it and to the working directory; without a slash at its end.
 */
export function resolve(...paths: readonly string[]): string {
  let resolved = "";
  for (const path of paths) {
    if (path.startsWith("/")) resolved = path;
    else if (path !== "") resolved = resolved === "" ? path : `${resolved}/${path}`;
  }
  return cleanPath(resolved.startsWith("/") ? resolved : `${workingDirectory()}/${resolved}`);
}

/** The path without its last part: "/" or "." if there is no other. */
export function dirname(path: string): string {
  const end = endOf(path);
  const slash = path.lastIndexOf("/", end - 1);
  if (slash < 0) return path.startsWith("/") ? "/" : ".";
  return path.slice(0, slash) || "/";
}

/** The last part of a path. */
export function basename(path: string): string {
  const end = endOf(path);
  return path.slice(path.lastIndexOf("/", end - 1) + 1, end);
}

/** Where the last part ends: before the slashes at the path's end. */
function endOf(path: string): number {
  let end = path.length;
  while (end > 0 && path[end - 1] === "/") end--;
  return end;
}
