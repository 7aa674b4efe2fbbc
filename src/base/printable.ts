/** How text is shown on a terminal that may come from somebody hostile, or be there by mistake. */

/** Bytes that belong to no character (see linux/bytes.ts), and how JSON.stringify writes them. */
const BYTES = /(?<!\\)\\udc([89a-f][0-9a-f])|[\udc80-\udcff]/gu;
/** A word that is longer than any path. */
const LONG_WORD = /\S{4097,}/g;
/** The most letters of a line that people read; a longer one was made to be long. */
const LONG_LINE = 8192;
/** How many letters are shown of a word that is too long. */
const SHOWN = 400;

/** A text without control characters, which a terminal would obey. Bytes that are no text are shown as \\xff. */
export function printable(text: string): string {
  const controlled = text.replaceAll(/(?!\t)\p{Cc}/gu, (control) => hex(control.charCodeAt(0)));
  if (controlled.isWellFormed() && !controlled.includes("\\udc")) return controlled;
  return controlled.replaceAll(BYTES, (byte, digits?: string) =>
    digits === undefined ? hex(byte.charCodeAt(0) & 0xff) : `\\x${digits}`,
  );
}

/** A printable text in one line: ends of lines become blanks. */
export function printableLine(text: string): string {
  return printable(text.replaceAll(/\s*\n\s*/g, " "));
}

function hex(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, "0")}`;
}

/** The beginning and the end of a long text, in at most `most` characters. */
export function shortened(text: string, most: number): string {
  if (text.length <= most) return text;
  const cut = `...(${text.length - most} more)...`;
  const end = Math.floor(most / 3);
  return `${text.slice(0, most - end)}${cut}${text.slice(-end)}`;
}

/** A line for people: long words and long lists are cut. */
export function shortLine(line: string): string {
  const words =
    line.length > LONG_LINE / 2 ? line.replaceAll(LONG_WORD, (word) => shortened(word, SHOWN)) : line;
  return shortened(words, LONG_LINE);
}
