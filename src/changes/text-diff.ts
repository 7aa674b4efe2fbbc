import { createTwoFilesPatch } from "diff";
import { textOf } from "../linux/call/bytes";
import { O } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { openNode } from "../linux/file/file-at";
import { openAt, openIfThere, openWithoutLinks } from "../linux/file/path";
import { basename, dirname } from "../linux/file/path-text";
import { fileStatusOf } from "../linux/file/stat";
import type { Change } from "./change";
import { readContent } from "./file-content";
import { openPlace } from "./read-changes";
import type { ChangesRecord } from "./record";

/** What is read of a file to be shown. */
const MOST = 1 << 20;
/** Texts that are made to have no lines in common would take hours. */
const PATIENCE_MS = 2000;

/** How a file's text has changed, as a unified diff; of what is no text a word. undefined for what has no content, or the same. */
export function textDiff(directory: Fd, record: ChangesRecord, change: Change): string | undefined {
  const { path, kind, type, from, what } = change;
  const isNew = kind === "added" || what.includes("type");
  if (kind !== "removed" && !isNew && !what.includes("content")) return undefined;
  const before = kind !== "added" && from?.type === "file" ? hostsContent(record, change) : EMPTY;
  const after = kind !== "removed" && type === "file" ? layersContent(directory, record, change) : EMPTY;
  if (before === EMPTY && after === EMPTY) return undefined;
  if (before === undefined || after === undefined) return `${path}: no text, or too long to be shown\n`;
  const names = [before === EMPTY ? "/dev/null" : path, after === EMPTY ? "/dev/null" : path] as const;
  const patch = createTwoFilesPatch(...names, before.text, after.text, "", "", {
    headerOptions: { includeIndex: false, includeUnderline: false, includeFileHeaders: true },
    timeout: PATIENCE_MS,
  });
  return patch ?? `${path}: too much of it is different to be shown\n`;
}

interface Content {
  text: string;
}
const EMPTY: Content = { text: "" };

function hostsContent(record: ChangesRecord, { layer, relative }: Change): Content | undefined {
  const { place = "/", isMount = false } = record.layers[layer] ?? {};
  using host = openPlace(place, isMount);
  using above = openWithoutLinks(host, dirname(relative), O.PATH | O.DIRECTORY);
  using file = openIfThere(above, basename(relative), O.PATH | O.NOFOLLOW);
  return file && contentOf(file);
}

function layersContent(
  directory: Fd,
  record: ChangesRecord,
  { layer, relative }: Change,
): Content | undefined {
  const name = record.layers[layer]?.directory ?? "";
  using upper = openAt(directory, `${name}/upper`, O.PATH | O.DIRECTORY | O.NOFOLLOW);
  using above = openWithoutLinks(upper, dirname(relative), O.PATH | O.DIRECTORY);
  using file = openNode(above, basename(relative));
  return contentOf(file);
}

function contentOf(file: Fd): Content | undefined {
  const { type, size } = fileStatusOf(file);
  if (type !== "file" || size > MOST) return undefined;
  const bytes = readContent(file, MOST);
  return bytes.includes(0) ? undefined : { text: textOf(bytes) };
}
