/** Decimals: text such as '12.30', checked against precision and scale, and as unscaled integers where order matters. */

/** What `decimal(precision, scale)` accepts: at most precision - scale digits before the point (leading zeros aside), scale after. */
export function decimalPattern(precision: number, scale: number): RegExp {
  const fraction = scale === 0 ? '' : `(?:\\.\\d{1,${scale}})?`;
  return new RegExp(`^-?(?=\\d)0*\\d{0,${precision - scale}}${fraction}$`);
}

/** '12.3' at scale 2 is 1230n. The text must match the pattern. */
export function toUnscaled(text: string, scale: number): bigint {
  const point = text.indexOf('.');
  const digits = point < 0 ? text : text.slice(0, point) + text.slice(point + 1);
  const fraction = point < 0 ? 0 : text.length - point - 1;
  return BigInt(digits) * 10n ** BigInt(scale - fraction);
}

/** 1230n at scale 2 is '12.30': the one text of that value. */
export function fromUnscaled(unscaled: bigint, scale: number): string {
  if (scale === 0) return String(unscaled);
  const sign = unscaled < 0n ? '-' : '';
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0');
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}
