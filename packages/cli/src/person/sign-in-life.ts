import { PamError } from '@sallyport/protocol';

/** Minutes a sign-in lasts unless asked otherwise: long enough for background tunnels and a day of scripts. */
export const signInMinutes = 720;

/** Minutes of `--for HOURS`, a number above 0 and at most 12. PAM_USAGE. */
export function lifeMinutes(hours: string | undefined): number {
  if (hours === undefined) return signInMinutes;
  const minutes = Math.round(Number(hours) * 60);
  if (/^\d{1,2}(\.\d{1,3})?$/.test(hours) && minutes >= 1 && minutes <= signInMinutes) return minutes;
  throw new PamError('PAM_USAGE', `--for: “${hours}” is not a number of hours up to 12`);
}
