import { asHakoError } from "../base/errors";
import { actHere } from "../linux/call/actor";
import { bytesOf } from "../linux/call/bytes";
import { writeAllTo } from "../linux/file/file";

/** Loaded on first use. */
const rare = {
  get nodeFs() {
    return require("node:fs") as typeof import("node:fs");
  },
};

let descriptor = 2;

/** Has what goes to standard error written to another descriptor of it, while 2 leads elsewhere. */
export function errorsGoTo(number: number): void {
  descriptor = number;
}

/** One write to standard error; a reader that has gone away is not our failure. */
export function toStandardError(text: string): void {
  try {
    actHere(() => writeAllTo(descriptor, bytesOf(text), "standard error"));
  } catch (error) {
    // podman closes its end of a command's standard error before the command has ended
    if (asHakoError(error).errno === undefined) withoutLibc(text);
  }
}

/** For the one message that libc can't be called: bun:ffi writes nothing then. */
function withoutLibc(text: string): void {
  try {
    rare.nodeFs.writeSync(2, text);
  } catch {
    // a reader that has gone away
  }
}
