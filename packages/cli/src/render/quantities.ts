/** What stands where nothing is known. */
export const NOTHING = "-";

const BYTE_UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

/** Decimal units, two significant digits below ten: `940 B`, `1.2 MB`, `340 kB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  // 999.5 would be written as 1000.
  while (value >= 999.5 && unit < BYTE_UNITS.length - 1) {
    value /= 1_000;
    unit++;
  }
  return `${unit === 0 ? Math.round(value) : twoDigits(value)} ${BYTE_UNITS[unit]}`;
}

/** A round trip: `0.2 ms`, `12 ms`, `1.3 s`. */
export function formatRtt(milliseconds: number): string {
  return milliseconds < 999.5 ? `${twoDigits(milliseconds)} ms` : `${twoDigits(milliseconds / 1_000)} s`;
}

/** A time that was waited for, where tenths are told: `0.4 s`, `12 s`, `3 m`. */
export function formatElapsed(milliseconds: number): string {
  return milliseconds < 60_000 ? `${twoDigits(milliseconds / 1_000)} s` : formatSpan(milliseconds);
}

/** How long something lasted or will: `8 s`, `4 m`, `3 h`, `12 d`; whole units, rounded down. */
export function formatSpan(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1_000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** How long something will last, to the minute: `30 s`, `1 h 30 m`, `2 d 1 h`; two units at most. */
export function formatLifetime(milliseconds: number): string {
  const minutes = Math.floor(milliseconds / 60_000);
  if (minutes === 0) return formatSpan(milliseconds);
  const parts = [
    [Math.floor(minutes / 1_440), "d"],
    [Math.floor(minutes / 60) % 24, "h"],
    [minutes % 60, "m"],
  ] as const;
  const first = parts.findIndex(([count]) => count > 0);
  const shown = parts.slice(first, first + 2).filter(([count]) => count > 0);
  return shown.map(([count, unit]) => `${count} ${unit}`).join(" ");
}

/** An instant in local time: `09:12` on the day of `now`, otherwise `2026-11-21 09:12`. */
export function formatInstant(at: number, now: number): string {
  const [day, time] = localTime(at);
  return day === localTime(now)[0] ? time : `${day} ${time}`;
}

function localTime(at: number): readonly [string, string] {
  const date = new Date(at);
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  return [day, `${pad(date.getHours())}:${pad(date.getMinutes())}`];
}

function pad(value: number): string {
  return String(value).padStart(2, "0");
}

function twoDigits(value: number): string {
  return value < 9.95 ? value.toFixed(1) : String(Math.round(value));
}
