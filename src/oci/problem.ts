import type { Problem } from "./config";

export function problem(pointer: string, message: string): Problem {
  return { pointer, message };
}

export function when(wrong: boolean, pointer: string, message: string): Problem[] {
  return wrong ? [problem(pointer, message)] : [];
}
