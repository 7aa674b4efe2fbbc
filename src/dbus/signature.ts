import { HakoError } from "../base/errors";
import { isBasic, type Type } from "./types";

/** The specification's limits: a signature's length, and how deep arrays and structs may nest. */
const MAX_LENGTH = 255;
const MAX_DEPTH = 64;

const CLOSING: Readonly<Record<string, string>> = { "(": ")", "{": "}" };

/** The types of a signature: "sa(sv)" is a string and an array. */
export function parseSignature(signature: string): Type[] {
  const wrong = () =>
    new HakoError({ code: "config", message: `${JSON.stringify(signature)} is not a D-Bus signature` });
  if (signature.length > MAX_LENGTH) throw wrong();
  let at = 0;
  const one = (depth: number, inArray: boolean): Type => {
    const code = signature[at++] ?? "";
    if (depth > MAX_DEPTH) throw wrong();
    if (isBasic(code)) return { kind: "basic", code };
    if (code === "v") return { kind: "variant" };
    if (code === "a") return { kind: "array", element: one(depth + 1, true) };
    const closing = CLOSING[code];
    if (closing === undefined || (code === "{" && !inArray)) throw wrong();
    const fields: Type[] = [];
    while (signature[at] !== closing) fields.push(one(depth + 1, false));
    at++;
    const isEntry = fields.length === 2 && fields[0]?.kind === "basic";
    if (fields.length === 0 || (code === "{" && !isEntry)) throw wrong();
    return { kind: "struct", fields };
  };
  const types: Type[] = [];
  while (at < signature.length) types.push(one(0, false));
  return types;
}
