/** Wall time of the suites: constant, so that nothing in them depends on the day. */
export const testNowMs = Date.UTC(2026, 0, 2);
