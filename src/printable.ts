/** A text that somebody hostile may have written, for a terminal, which would do what control characters in it say. */
export function printable(text: string): string {
  return text.replaceAll(
    /(?!\t)\p{Cc}/gu,
    (control) => `\\x${control.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

/** A text that may be long, in at most so many characters: its beginning and its end. */
export function shortened(text: string, most: number): string {
  if (text.length <= most) return text;
  const cut = `...(${text.length - most} more)...`;
  const end = Math.floor(most / 3);
  return `${text.slice(0, most - end)}${cut}${text.slice(-end)}`;
}
