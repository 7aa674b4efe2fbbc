/** A line of a program's environment. */
export type EnvironmentLine = `${string}=${string}`;

/** Whether a text is NAME=value; the name may not be empty (environ(7)). */
export function isEnvironmentLine(text: string): text is EnvironmentLine {
  return text.indexOf("=") > 0;
}
