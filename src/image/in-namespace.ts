import { asHakoError, type ErrorParts, HakoError } from "../base/errors";
import { executeInside } from "../drivers/namespaces/birth/hako-inside";
import { userNamespaceWith } from "../drivers/namespaces/birth/mapped-user-namespace";
import { writeIdMaps } from "../drivers/namespaces/birth/namespaces";
import { textOf } from "../linux/call/bytes";
import { syscallOn } from "../linux/call/syscall";
import { readAtMost, removeTree } from "../linux/file/file";
import { memoryFile } from "../linux/file/memfd";
import { fileStatusOf } from "../linux/file/stat";
import { inUserNamespace } from "../linux/process/rootless";
import type { IdMaps } from "../linux/process/subordinate-ids";
import { ownerSteps, replaceStep } from "../linux/steps/child-steps";
import { parseReference } from "./reference";
import type { Unpacked } from "./unpack";
import { unpackReference } from "./unpack-reference";

/**
 * Files of several owners are made and removed by a hako in a user namespace, whose root the user is and whose other ids are the user's
 * subordinate ones: `hako image inside …`, which no person calls. What it has to say is one line of JSON.
 */

const ANSWER = "what hako in a user namespace says";

/** What `hako image inside` is told to do. */
export type InsideWork = "unpack" | "remove";

type Answer = { done: Unpacked | null } | { failed: ErrorParts };

/** Unpacks an image into `directory`/rootfs, with the owners that its files have in these maps. */
export function unpackInside(maps: IdMaps, reference: string, directory: string): Unpacked {
  const done = call(maps, ["unpack", directory, reference]);
  if (done === null) throw new Error("unpacked without a word");
  return done;
}

/** Removes what was made so. */
export function removeInside(maps: IdMaps, path: string): void {
  call(maps, ["remove", path]);
}

function call(maps: IdMaps, words: readonly [InsideWork, ...string[]]): Unpacked | null {
  using namespace = userNamespaceWith((pid) => writeIdMaps(pid, "/linux", maps));
  using answer = memoryFile(ANSWER);
  const end = executeInside(namespace, ["image", "inside", ...words], {
    before: [replaceStep(ANSWER, 1, answer)],
    inside: ownerSteps(false, { uid: 0, gid: 0 }),
  });
  const said = answered(answer);
  if (said === undefined) {
    const how = end?.signal === undefined ? `status ${end?.status}` : `signal ${end.signal}`;
    throw new HakoError({ code: "system", message: `hako in a user namespace ended with ${how}` });
  }
  if ("failed" in said) throw new HakoError(said.failed);
  return said.done;
}

function answered(file: ReturnType<typeof memoryFile>): Answer | undefined {
  const { size } = fileStatusOf(file);
  syscallOn(ANSWER, "lseek", file.number, 0, 0);
  const text = textOf(readAtMost(file, size));
  return text.endsWith("\n") ? (JSON.parse(text) as Answer) : undefined;
}

/** Does, as root of a user namespace, what `call` asks for; what it answers. */
export async function workInside(work: string, path: string, reference: string | undefined): Promise<string> {
  let answer: Answer;
  try {
    // the host's root would remove what it is told
    if (!inUserNamespace()) throw HakoError.usage("hako itself calls this, in a user namespace");
    if (work === "unpack" && reference !== undefined)
      answer = { done: await unpackReference(parseReference(reference), path, true) };
    else if (work === "remove") {
      removeTree(path);
      answer = { done: null };
    } else throw HakoError.usage("hako itself calls this");
  } catch (thrown) {
    const { code, reason, advice, errno } = asHakoError(thrown);
    answer = { failed: { code, message: reason, hint: advice, errno } };
  }
  return `${JSON.stringify(answer)}\n`;
}
