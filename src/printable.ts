/** A text that somebody hostile may have written, for a terminal, which would do what control characters in it say. */
export function printable(text: string): string {
  return text.replaceAll(
    /(?!\t)\p{Cc}/gu,
    (control) => `\\x${control.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

/** The same in one line, whatever lines it came in. */
export function printableLine(text: string): string {
  return printable(text.replaceAll(/\s*\n\s*/g, " "));
}
