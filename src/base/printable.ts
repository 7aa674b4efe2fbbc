/** How text is shown on a terminal that somebody hostile may have written, or somebody by mistake. */

/** Bytes that belong to no character (see linux/bytes.ts), and how JSON.stringify writes them. */
const BYTES = /(?<!\\)\\udc([89a-f][0-9a-f])|[\udc80-\udcff]/gu;
/** A run of letters without a blank; longer than any path is. */
const LONG_WORD = /\S{4097,}/g;
/** A line of so many letters can still be read; a longer one was made to be long. */
const LONG_LINE = 8192;
/** How many letters are shown of a word that is too long. */
const SHOWN = 400;

/** A text without control characters, which a terminal would obey, and with bytes that are no text as \\xff. */
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

/** A text that may be long, in at most so many characters: its beginning and its end. */
export function shortened(text: string, most: number): string {
  if (text.length <= most) return text;
  const cut = `...(${text.length - most} more)...`;
  const end = Math.floor(most / 3);
  return `${text.slice(0, most - end)}${cut}${text.slice(-end)}`;
}

/** A line for people, without words and lists that nobody would read. */
export function shortLine(line: string): string {
  const words =
    line.length > LONG_LINE / 2 ? line.replaceAll(LONG_WORD, (word) => shortened(word, SHOWN)) : line;
  return shortened(words, LONG_LINE);
}
