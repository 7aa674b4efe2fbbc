/** The distance of Damerau and Levenshtein: how many letters differ, are missing or too many. Two neighbours that changed places count as one. */
function distance(left: string, right: string): number {
  let above: number[] = [];
  let row = Array.from({ length: right.length + 1 }, (_, column) => column);
  for (let line = 0; line < left.length; line++) {
    const next = [line + 1];
    for (let column = 0; column < right.length; column++) {
      const same = left[line] === right[column];
      const swapped =
        line > 0 && column > 0 && left[line] === right[column - 1] && left[line - 1] === right[column];
      next.push(
        Math.min(
          (next[column] ?? 0) + 1,
          (row[column + 1] ?? 0) + 1,
          (row[column] ?? 0) + (same ? 0 : 1),
          swapped ? (above[column - 1] ?? 0) + 1 : Number.POSITIVE_INFINITY,
        ),
      );
    }
    above = row;
    row = next;
  }
  return row[right.length] ?? 0;
}

/** The known name that was perhaps meant: at most two letters differ, and less than half of it. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const [best] = known
    // a name whose length differs more can't be near; it would cost time if it is long
    .filter((each) => each.length > 2 && Math.abs(each.length - name.length) <= 2)
    .map((each) => ({ each, off: distance(name, each) }))
    .filter(({ each, off }) => off <= 2 && off < each.length / 2)
    .sort((one, other) => one.off - other.off);
  return best?.each;
}

/** As `nearestName`, but without regard to capitals; and one letter of a word of up to three may be wrong. */
export function nearestWord(word: string, known: readonly string[]): string | undefined {
  const lower = word.toLowerCase();
  if (known.includes(lower)) return lower;
  const short =
    lower.length <= 3 ? known.find((each) => each.length <= 3 && distance(lower, each) === 1) : undefined;
  return short ?? nearestName(lower, known);
}

/** " (did you mean X?)", to follow an unknown name; "" where nothing is near. */
export function didYouMean(meant: string | undefined): string {
  return meant === undefined ? "" : ` (did you mean ${meant}?)`;
}
