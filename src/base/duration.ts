const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** The milliseconds of a duration as Go writes it, such as 5s, 1m30s or 500ms; undefined if the text is none. */
export function parseDuration(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) return undefined;
  const parts = text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g);
  return [...parts].reduce((sum, [, count, unit = ""]) => sum + Number(count) * (UNITS[unit] ?? 0), 0);
}

/** Milliseconds as `parseDuration` reads them: 1m30s, 1.5s, 300ms. */
export function durationText(milliseconds: number): string {
  if (milliseconds < 1000) return `${milliseconds}ms`;
  const minutes = Math.floor(milliseconds / 60_000);
  const parts: [number, string][] = [
    [Math.floor(minutes / 60), "h"],
    [minutes % 60, "m"],
    [(milliseconds - minutes * 60_000) / 1000, "s"],
  ];
  return parts.flatMap(([count, unit]) => (count === 0 ? [] : [`${count}${unit}`])).join("");
}

/** Nanoseconds for people: 1.25 s. */
export function secondsOf(nanoseconds: number): string {
  return `${(nanoseconds / 1e9).toFixed(2)} s`;
}
