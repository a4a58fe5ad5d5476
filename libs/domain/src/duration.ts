const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/**
 * Parses `90s`, `30m`, `2h`, `1h30m`, `250ms` into milliseconds. Returns undefined for other text.
 */
export function parseDuration(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    const exact = Number(amount) * (UNITS[unit ?? ''] ?? Number.NaN);
    const whole = Math.round(exact);
    // Accepts rounding errors, such as 1.001 × 1000. Rejects fractions of a millisecond.
    if (Math.abs(exact - whole) > 1e-3) return undefined;
    total += whole;
  }
  return Number.isSafeInteger(total) ? total : undefined;
}

/** Formats milliseconds in units: 90 000 → `1m30s`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))}ms`;
  let rest = Math.round(ms / 1000) * 1000;
  let text = '';
  for (const unit of ['d', 'h', 'm', 's']) {
    const size = UNITS[unit] ?? 1;
    const amount = Math.floor(rest / size);
    if (amount > 0) text += `${amount}${unit}`;
    rest -= amount * size;
  }
  return text;
}
