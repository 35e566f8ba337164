/** A login that cannot be one of Linux: it would be read as an option, as two fields or as two lines. */
export const isNoLogin = (login: string): boolean =>
  login === '' || login.length > 256 || /^[-+]|[:/\p{Cc}\p{Zl}\p{Zp}]/u.test(login);
